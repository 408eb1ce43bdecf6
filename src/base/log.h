/* log.h - what the rooms below `cli` have to say: they never print, they log.
 *
 * The program installs one sink at start; without one nothing is said. Thread safe once installed. */
#ifndef LIZ_BASE_LOG_H
#define LIZ_BASE_LOG_H

typedef enum liz_log_level { LIZ_LOG_WARN = 0, LIZ_LOG_INFO = 1, LIZ_LOG_DEBUG = 2 } liz_log_level;

/* `text` is one line without its newline. */
typedef void liz_log_sink(void *user, liz_log_level level, const char *subject, const char *text);

/* Call before other threads start. Lines above `level_max` are dropped. */
void liz_log_install(liz_log_sink *sink, void *user, liz_log_level level_max);

void liz_log(liz_log_level level, const char *subject, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
