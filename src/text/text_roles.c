/* text_roles.c - which tokens play a part: BOS, EOS, those that end a text, and those whose kind is mended.
 *
 * Files often mark as ordinary what their model uses to end a turn, so tokens are also known by their
 * text, as llama.cpp does it: such a token becomes a control token. Plain text then cannot spell it.
 * A key that names an id outside the vocabulary, or -1 (some writers' "unset"), is as good as absent. */
#include "text/text_impl.h"

#include "base/log.h"

#include <stdio.h>

/* Tokens known by their text. */
typedef enum role {
    ROLE_END,     /* control, and ends the text; so do padding and borders of fill-in-the-middle */
    ROLE_MARKED,  /* the same, but only where the file does not call it a normal token: Qwen's </s> is HTML */
    ROLE_CONTROL, /* control */
    ROLE_HINT,    /* control, but only so too */
    ROLE_TEXT,    /* user-defined: the frame of a gpt-oss message, which its reader must see */
    N_ROLES
} role;

static const char *const known_tokens[N_ROLES][32] = {
    [ROLE_END] = {"<|eot_id|>",    "<|eom_id|>",       "<|im_end|>",
                  "<|end|>",       "<|return|>",       "<|call|>",
                  "<|flush|>",     "<|calls|>",        "<end_of_turn>",
                  "<|endoftext|>", "<|end_of_text|>",  "<end_of_utterance>",
                  "<turn|>",       "<|tool_response>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
                  "<|fim_pad|>",   "<fim-pad>",        "<fim_pad>",
                  "<|fim_repo|>",  "<|repo_name|>",    "<fim-repo>",
                  "<reponame>",    "<|file_sep|>"},
    [ROLE_MARKED] = {"</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "[e~[", "<PAD>", "[PAD]", "<REPO>"},
    [ROLE_CONTROL] = {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<|fim_suffix|>", "<fim-suffix>",
                      "<fim_suffix>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uFF5Cfim\u2581begin\uFF5C>",
                      "<\uFF5Cfim\u2581hole\uFF5C>", "<\uFF5Cfim\u2581end\uFF5C>", "<|code_prefix|>", "<|code_suffix|>",
                      "<|code_middle|>"},
    [ROLE_HINT] = {"<PRE>", "<SUF>", "<MID>", "\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "<|prefix|>", "<|suffix|>",
                   "<|middle|>"},
    [ROLE_TEXT] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"},
};

static int32_t find(const liz_text_vocab *vocab, const char *text)
{
    return liz_text_vocab_find(vocab, liz_str_of(text));
}

static bool has(const liz_text_vocab *vocab, const char *text) { return find(vocab, text) >= 0; }

/* The token that `name` in tokenizer.ggml.* names, else `otherwise` if that is a token, else -1. */
static int32_t role_id(const liz_text_vocab *vocab, const liz_gguf *gguf, const char *name, int32_t otherwise)
{
    char key[64];
    snprintf(key, sizeof key, LIZ_TEXT_KEY "%s", name);
    uint64_t id;
    if (liz_gguf_u64(gguf, key, &id)) {
        if (id < (uint64_t)vocab->n_tokens)
            return (int32_t)id;
        if (id != UINT32_MAX)
            liz_log(LIZ_LOG_WARN, "text", "%s: %llu is not a token: ignored", key, (unsigned long long)id);
    }
    return otherwise < vocab->n_tokens ? otherwise : -1;
}

static void mark_known(liz_text_vocab *vocab)
{
    for (role part = 0; part < N_ROLES; part++)
        for (const char *const *text = known_tokens[part]; *text != NULL; text++) {
            int32_t id = find(vocab, *text);
            bool marked = part == ROLE_MARKED || part == ROLE_HINT;
            if (id < 0 || (marked && vocab->kind[id] == LIZ_TOKEN_NORMAL))
                continue;
            vocab->kind[id] = part == ROLE_TEXT ? LIZ_TOKEN_USER_DEFINED : LIZ_TOKEN_CONTROL;
            if (part == ROLE_END || part == ROLE_MARKED)
                vocab->flags[id] |= LIZ_TEXT_ENDS;
        }
}

static void mark_ends(liz_text_vocab *vocab, const liz_gguf *gguf)
{
    static const char *const names[] = {"eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id",
                                        "fim_sep_token_id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t id = role_id(vocab, gguf, names[i], -1);
        if (id >= 0)
            vocab->flags[id] |= LIZ_TEXT_ENDS;
    }
    if (vocab->eos >= 0)
        vocab->flags[vocab->eos] |= LIZ_TEXT_ENDS;
}

static void unmark(liz_text_vocab *vocab, const char *text, liz_token_kind kind)
{
    int32_t id = find(vocab, text);
    if (id < 0)
        return;
    vocab->flags[id] &= (uint8_t)~LIZ_TEXT_ENDS;
    vocab->kind[id] = (uint8_t)kind;
}

/* Last, because it overrules the file too. */
static void mark_exceptions(liz_text_vocab *vocab)
{
    /* Where messages end with other tokens, <|end|> only ends a part of one. */
    bool call = has(vocab, "<|call|>") || has(vocab, "<|calls|>");
    if (call && (has(vocab, "<|return|>") || has(vocab, "<|flush|>")))
        unmark(vocab, "<|end|>", LIZ_TOKEN_USER_DEFINED);
    /* Gemma 4 has <turn|>; its </s> is a tag of HTML. */
    if (has(vocab, "<|tool_response>"))
        unmark(vocab, "</s>", LIZ_TOKEN_NORMAL);
}

static bool holds_any_case(liz_str text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++)
        if (strncasecmp(text.p + i, part, n) == 0)
            return true;
    return false;
}

/* Phi-3's special tokens swallow the white space to their right, all but three. The file does not say so; the
 * model is known by its name or architecture. */
static void mark_phi3(liz_text_vocab *vocab, const liz_gguf *gguf)
{
    liz_str name = {NULL, 0}, architecture = {NULL, 0};
    (void)liz_gguf_str(gguf, "general.name", &name);
    (void)liz_gguf_str(gguf, "general.architecture", &architecture);
    if (vocab->algorithm != LIZ_TEXT_SPM ||
        !(liz_str_is(architecture, "phi3") || holds_any_case(name, "phi-3") || holds_any_case(name, "phi3")))
        return;
    for (int32_t i = 0; i < vocab->n_tokens; i++)
        if (vocab->kind[i] == LIZ_TOKEN_CONTROL || vocab->kind[i] == LIZ_TOKEN_USER_DEFINED ||
            vocab->kind[i] == LIZ_TOKEN_UNKNOWN)
            vocab->flags[i] |= LIZ_TEXT_RSTRIP;
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        int32_t id = find(vocab, keep[i]);
        if (id >= 0)
            vocab->flags[id] &= (uint8_t)~LIZ_TEXT_RSTRIP;
    }
}

/* <mask> takes the space before it with it in XLM-R and its kin, which the file does not say either. */
static void mark_mask(liz_text_vocab *vocab, const liz_gguf *gguf)
{
    liz_str name = {NULL, 0}, architecture = {NULL, 0}, pre = liz_str_of(vocab->pre_name);
    (void)liz_gguf_str(gguf, "general.name", &name);
    (void)liz_gguf_str(gguf, "general.architecture", &architecture);
    bool xlmr = liz_str_is(architecture, "nomic-bert-moe") || liz_str_is(architecture, "jina-bert-v3") ||
                liz_str_is(pre, "jina-v2-de") || liz_str_is(pre, "jina-v2-es") || liz_str_is(pre, "jina-v2-code");
    int32_t id = xlmr ? find(vocab, "<mask>") : holds_any_case(name, "modern-bert") ? find(vocab, "[MASK]") : -1;
    if (id >= 0)
        vocab->flags[id] |= LIZ_TEXT_LSTRIP;
}

/* Whether to add `id`: what the file says, else what the algorithm's models do. */
static liz_status read_adds(const liz_gguf *gguf, const char *name, int32_t id, bool by_default, bool *out,
                            liz_error *err)
{
    char key[64];
    snprintf(key, sizeof key, LIZ_TEXT_KEY "%s", name);
    *out = by_default && id >= 0;
    bool wanted;
    if (!liz_gguf_bool(gguf, key, &wanted))
        return LIZ_OK;
    if (wanted && id < 0)
        return liz_fail(err, LIZ_E_FORMAT, "%s: %s: is true, but the file names no such token: convert the model again",
                        liz_gguf_path(gguf), key);
    *out = wanted;
    return LIZ_OK;
}

static liz_status read_ids(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    bool spm = vocab->algorithm == LIZ_TEXT_SPM, wordpiece = vocab->algorithm == LIZ_TEXT_WORDPIECE;
    bool unigram = vocab->algorithm == LIZ_TEXT_UNIGRAM;
    int32_t unk = spm ? 0 : unigram ? 2 : wordpiece ? find(vocab, "[UNK]") : -1;
    vocab->bos = role_id(vocab, gguf, "bos_token_id", spm ? 1 : -1);
    vocab->eos = role_id(vocab, gguf, "eos_token_id", spm ? 2 : unigram ? 1 : -1);
    vocab->unk = role_id(vocab, gguf, "unknown_token_id", unk);
    vocab->sep = role_id(vocab, gguf, "seperator_token_id", wordpiece ? find(vocab, "[SEP]") : -1); /* sic */
    if (wordpiece && vocab->bos < 0)
        vocab->bos = role_id(vocab, gguf, "cls_token_id", find(vocab, "[CLS]"));
    vocab->leading_space = spm || wordpiece;
    if (spm || unigram)
        (void)liz_gguf_bool(gguf, LIZ_TEXT_KEY "add_space_prefix", &vocab->leading_space);
    bool add_bos = spm || wordpiece || (vocab->pre != NULL && vocab->pre->add_bos);
    LIZ_TRY(read_adds(gguf, "add_bos_token", vocab->bos, add_bos, &vocab->add_bos, err));
    LIZ_TRY(read_adds(gguf, "add_eos_token", vocab->eos, unigram, &vocab->add_eos, err));
    vocab->add_bos |= vocab->pre != NULL && vocab->pre->always_bos && vocab->bos >= 0;
    return wordpiece ? read_adds(gguf, "add_sep_token", vocab->sep, true, &vocab->add_sep, err) : LIZ_OK;
}

/* The pre-tokenizer is chosen here because it also decides whether BOS is added by default. */
static liz_status choose_pre(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    const char *key = LIZ_TEXT_KEY "pre";
    liz_str name = {NULL, 0};
    if (strcmp(vocab->model, "gemma4") == 0)
        name = liz_str_of(vocab->model);
    else
        vocab->pre_assumed = !liz_gguf_str(gguf, key, &name) || name.n == 0;
    if (vocab->pre_assumed)
        name = liz_str_of("default");
    vocab->pre = liz_text_pre_find(name);
    if (vocab->pre == NULL)
        return liz_fail(err, LIZ_E_UNSUPPORTED,
                        "%s: %s: pre-tokenizer \"%.*s\" is not known: docs/tokenizers.md lists those that are",
                        liz_gguf_path(gguf), key, name.n < 64 ? (int)name.n : 64, name.p);
    memcpy(vocab->pre_name, name.p, name.n);
    return LIZ_OK;
}

liz_status liz_text_open_roles(liz_text_vocab *vocab, const liz_gguf *gguf, liz_error *err)
{
    if (vocab->algorithm == LIZ_TEXT_BPE)
        LIZ_TRY(choose_pre(vocab, gguf, err));
    vocab->spaced = vocab->algorithm == LIZ_TEXT_SPM || (vocab->pre != NULL && vocab->pre->spaced);
    LIZ_TRY(read_ids(vocab, gguf, err));
    mark_known(vocab);
    mark_ends(vocab, gguf);
    mark_exceptions(vocab);
    mark_phi3(vocab, gguf);
    mark_mask(vocab, gguf);
    return LIZ_OK;
}
