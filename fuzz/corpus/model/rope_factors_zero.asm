# Factors of rope that are zero, as all weights here: no angle comes of them.
head 12 6
key general.architecture string
str llama
key llama.block_count u32
u32 1
key llama.embedding_length u32
u32 32
key llama.feed_forward_length u32
u32 32
key llama.context_length u32
u32 64
key llama.attention.head_count u32
u32 2
tensor token_embd.weight Q8_0 0 6 32
tensor blk.0.attn_norm.weight F32 224 32
tensor blk.0.attn_q.weight Q4_0 352 32 32
tensor blk.0.attn_k.weight Q4_0 928 32 32
tensor blk.0.attn_v.weight Q4_0 1504 32 32
tensor blk.0.attn_output.weight Q4_0 2080 32 32
tensor blk.0.ffn_norm.weight F32 2656 32
tensor blk.0.ffn_gate.weight Q4_0 2784 32 32
tensor blk.0.ffn_up.weight Q4_0 3360 32 32
tensor blk.0.ffn_down.weight Q4_0 3936 32 32
tensor output_norm.weight F32 4512 32
tensor rope_freqs.weight F32 4640 8
pad 32
