/* engine_inspect.c - what a model file holds and would need, as JSON.
 *
 * Works for any well-formed file: what needs a known architecture (memory) or a known tokenizer (vocabulary) carries an
 * "error" text instead where Lizzie does not know it. */
#include "base/json.h"
#include "engine/engine_core.h"
#include "engine/engine_plan.h"
#include "kernel/kernel.h"

#include <math.h>

/* A model file's metadata is at most this; so is what is told about it. */
static const size_t json_bytes_max = (size_t)1 << 30;

/* A string of the file, null where it has none. */
static void member_of_file(liz_buf *out, const char *name, const liz_gguf *gguf, const char *gguf_key)
{
    liz_str value;
    if (liz_gguf_str(gguf, gguf_key, &value))
        liz_json_put_str(out, name, value);
    else
        liz_json_put(out, name, liz_str_of("null"));
}

static void file_write(liz_buf *out, const liz_gguf *gguf)
{
    liz_json_open(out, "file", '{');
    liz_json_put_str(out, "path", liz_str_of(liz_gguf_path(gguf)));
    liz_json_put_u64(out, "gguf_version", liz_gguf_version(gguf));
    liz_json_put_u64(out, "parts", liz_gguf_n_parts(gguf));
    liz_json_put_u64(out, "bytes", liz_gguf_file_bytes(gguf));
    liz_buf_putc(out, '}');
}

/* ---- tensors ---- */

typedef struct type_count {
    uint64_t n_tensors, n_bytes;
} type_count;

static void tensors_write(liz_buf *out, const liz_gguf *gguf)
{
    type_count counts[LIZ_DTYPE_COUNT] = {{0, 0}};
    uint64_t n_params = 0, n_bytes = 0;
    for (size_t i = 0; i < liz_gguf_n_tensors(gguf); i++) {
        const liz_gguf_tensor *t = liz_gguf_tensor_at(gguf, i);
        n_params += liz_gguf_n_rows(t) * liz_gguf_n_in(t);
        n_bytes += t->size_bytes;
        counts[t->dtype].n_tensors++;
        counts[t->dtype].n_bytes += t->size_bytes;
    }
    liz_json_put_u64(out, "n_params", n_params);
    liz_json_open(out, "tensors", '{');
    liz_json_put_u64(out, "count", liz_gguf_n_tensors(gguf));
    liz_json_put_u64(out, "bytes", n_bytes);
    liz_json_open(out, "types", '[');
    for (uint32_t type = 0; type < LIZ_DTYPE_COUNT; type++) {
        if (counts[type].n_tensors == 0)
            continue;
        liz_json_open(out, NULL, '{');
        liz_json_put_str(out, "type", liz_str_of(liz_dtype_info_get(type)->name));
        liz_json_put_u64(out, "count", counts[type].n_tensors);
        liz_json_put_u64(out, "bytes", counts[type].n_bytes);
        liz_buf_putc(out, '}');
    }
    liz_buf_puts(out, "]}");
}

/* ---- hyperparameters: every number that the file states under its architecture's name ---- */

static bool is_float(const liz_gguf_entry *e) { return e->type == LIZ_GGUF_F32 || e->type == LIZ_GGUF_F64; }

static void value_write(liz_buf *out, const liz_gguf_entry *e)
{
    double value = is_float(e) ? liz_gguf_entry_f64(e, 0) : 0;
    if (e->type == LIZ_GGUF_BOOL)
        liz_buf_puts(out, liz_gguf_entry_i64(e, 0) != 0 ? "true" : "false");
    else if (e->type == LIZ_GGUF_STRING)
        liz_json_write_string(out, e->strings[0]);
    else if (e->type == LIZ_GGUF_F32 && isfinite(value))
        liz_json_write_float(out, (float)value);
    else if (is_float(e) && isfinite(value))
        liz_json_write_double(out, value);
    else if (is_float(e))
        liz_buf_puts(out, "null");
    else
        liz_buf_printf(out, "%lld", (long long)liz_gguf_entry_i64(e, 0));
}

static void hyperparameters_write(liz_buf *out, const liz_gguf *gguf, liz_str arch)
{
    liz_json_open(out, "hyperparameters", '{');
    for (size_t i = 0; i < liz_gguf_n_entries(gguf); i++) {
        const liz_gguf_entry *e = liz_gguf_entry_at(gguf, i);
        bool own = e->key.n > arch.n + 1 && memcmp(e->key.p, arch.p, arch.n) == 0 && e->key.p[arch.n] == '.';
        if (!own || e->type == LIZ_GGUF_ARRAY)
            continue;
        liz_json_put_str(out, NULL, (liz_str){e->key.p + arch.n + 1, e->key.n - arch.n - 1});
        liz_buf_putc(out, ':');
        value_write(out, e);
    }
    liz_buf_putc(out, '}');
}

/* ---- vocabulary ---- */

static void vocabulary_write(liz_buf *out, const liz_gguf *gguf)
{
    liz_text_vocab *vocab;
    liz_error why = {0};
    liz_json_open(out, "vocabulary", '{');
    member_of_file(out, "tokenizer", gguf, "tokenizer.ggml.model");
    member_of_file(out, "pre_tokenizer", gguf, "tokenizer.ggml.pre");
    if (liz_text_vocab_open(&vocab, gguf, &why) == LIZ_OK) {
        liz_json_put_int(out, "size", liz_text_vocab_size(vocab));
        liz_json_put_str(out, "pre_tokenizer_used", liz_str_of(liz_text_vocab_pre(vocab)));
        liz_json_put_bool(out, "pre_tokenizer_assumed", liz_text_vocab_pre_assumed(vocab));
        liz_json_put_int(out, "bos", liz_text_vocab_bos(vocab));
        liz_json_put_int(out, "eos", liz_text_vocab_eos(vocab));
        liz_json_put_bool(out, "add_bos", liz_text_vocab_add_bos(vocab));
        liz_json_put_bool(out, "add_eos", liz_text_vocab_add_eos(vocab));
        liz_text_vocab_close(vocab);
    } else {
        liz_json_put_str(out, "error", liz_str_of(why.text));
    }
    liz_buf_putc(out, '}');
}

/* ---- memory and machine ---- */

/* Of a mixture of experts: how many there are, how many a token meets, and the parameters that makes. */
static void experts_write(liz_buf *out, const liz_model_params *params)
{
    if (params->n_expert == 0)
        return;
    liz_json_open(out, "experts", '{');
    liz_json_put_int(out, "count", params->n_expert);
    liz_json_put_int(out, "used", params->n_expert_used);
    liz_json_put_u64(out, "n_params_active", params->n_params_active);
    liz_buf_putc(out, '}');
}

static void memory_write(liz_buf *out, const liz_gguf *gguf, const liz_engine_opts *opts)
{
    liz_model *model = NULL;
    liz_engine_plan plan;
    liz_engine_loras loras = {0};
    liz_error why = {0};
    liz_status status = liz_model_open(&model, gguf, &why);
    if (status == LIZ_OK) {
        experts_write(out, liz_model_params_get(model));
        status = liz_engine_loras_open(&loras, model, opts, &why);
    }
    status = status ?: liz_engine_plan_estimate(&plan, model, opts, &why);
    liz_json_open(out, "memory", '{');
    if (status != LIZ_OK) {
        liz_json_put_str(out, "error", liz_str_of(why.text));
    } else {
        liz_json_put_int(out, "ctx_size", plan.n_ctx);
        liz_json_put_int(out, "parallel", plan.n_parallel);
        liz_json_put_u64(out, "weights_bytes", plan.weights_bytes);
        liz_json_put_u64(out, "step_bytes", plan.step_bytes);
        liz_json_put_u64(out, "cache_bytes", plan.cache_bytes);
        liz_json_put_u64(out, "cache_bytes_per_token", plan.page_bytes / LIZ_PAGE_TOKENS);
        liz_json_put_u64(out, "total_bytes", plan.weights_bytes + plan.step_bytes + plan.cache_bytes);
        liz_json_put_u64(out, "available_bytes", plan.available_bytes);
    }
    liz_buf_putc(out, '}');
    liz_model_close(model);
    liz_engine_loras_drop(&loras);
}

static void kernels_write(liz_buf *out, liz_tier_id tier)
{
    liz_json_open(out, "kernels", '[');
    for (size_t i = 0; i < liz_kernel_count(); i++) {
        const char *op, *variant;
        liz_kernel_describe(tier, i, &op, &variant);
        liz_json_open(out, NULL, '{');
        liz_json_put_str(out, "operation", liz_str_of(op));
        liz_json_put_str(out, "variant", liz_str_of(variant));
        liz_buf_putc(out, '}');
    }
    liz_buf_putc(out, ']');
}

static liz_status machine_write(liz_buf *out, liz_error *err)
{
    liz_tier_id tier;
    LIZ_TRY(liz_cpu_tier(&tier, err));
    liz_json_open(out, "machine", '{');
    liz_json_put_str(out, "cpu", liz_str_of(liz_cpu_model_name()));
    liz_json_put_int(out, "threads", liz_cpu_count());
    liz_json_put_str(out, "tier", liz_str_of(liz_cpu_tier_name(tier)));
    liz_json_put_str(out, "tier_best", liz_str_of(liz_cpu_tier_name(liz_cpu_tier_best())));
    liz_buf_putc(out, '}');
    kernels_write(out, tier);
    return LIZ_OK;
}

static liz_status model_write(liz_buf *out, const liz_gguf *gguf, const liz_engine_opts *opts, liz_error *err)
{
    liz_str arch = {"", 0};
    liz_gguf_str(gguf, "general.architecture", &arch);
    liz_buf_putc(out, '{');
    file_write(out, gguf);
    member_of_file(out, "architecture", gguf, "general.architecture");
    member_of_file(out, "name", gguf, "general.name");
    tensors_write(out, gguf);
    hyperparameters_write(out, gguf, arch);
    vocabulary_write(out, gguf);
    member_of_file(out, "chat_template", gguf, "tokenizer.chat_template");
    memory_write(out, gguf, opts);
    liz_status status = machine_write(out, err);
    liz_buf_putc(out, '}');
    return status;
}

liz_status liz_inspect(const char *path, const liz_engine_opts *opts, char **json, liz_error *err)
{
    liz_gguf *gguf;
    liz_buf out = {.len_max = json_bytes_max};
    LIZ_TRY(liz_gguf_open(&gguf, path, err));
    liz_status status = model_write(&out, gguf, opts, err);
    if (status == LIZ_OK && (*json = liz_buf_take(&out)) == NULL)
        status = liz_fail(err, LIZ_E_MEMORY, "%s: no memory to describe it", path);
    liz_buf_free(&out);
    liz_gguf_close(gguf);
    return status;
}
