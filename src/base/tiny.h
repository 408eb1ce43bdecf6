/* tiny.h - sizes that a build for tests (make tiny: -DLIZ_TINY) makes so small that every border is met often: pages of
 * one token, steps of three rows, arenas of 64 bytes, reads of a few bytes. What is computed is the same. */
#ifndef LIZ_BASE_TINY_H
#define LIZ_BASE_TINY_H

#ifdef LIZ_TINY
#define LIZ_OR_TINY(usual, tiny) (tiny)
#else
#define LIZ_OR_TINY(usual, tiny) (usual)
#endif

#endif
