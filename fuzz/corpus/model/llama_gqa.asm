# One head of keys and values for two, scaled rope, an output tied to the embedding.
head 11 12
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
key llama.attention.head_count_kv u32
u32 1
key llama.rope.freq_base f32
f32 500000
key llama.rope.scaling.type string
str linear
key llama.rope.scaling.factor f32
f32 2
key llama.attention.layer_norm_rms_epsilon f32
f32 0.00001
key llama.rope.dimension_count u32
u32 16
tensor token_embd.weight Q8_0 0 6 32
tensor blk.0.attn_norm.weight F32 224 32
tensor blk.0.attn_q.weight F16 352 32 32
tensor blk.0.attn_k.weight F16 2400 16 32
tensor blk.0.attn_v.weight F16 3424 16 32
tensor blk.0.attn_output.weight F16 4448 32 32
tensor blk.0.ffn_norm.weight F32 6496 32
tensor blk.0.ffn_gate.weight F16 6624 32 32
tensor blk.0.ffn_up.weight F16 8672 32 32
tensor blk.0.ffn_down.weight F16 10720 32 32
tensor output_norm.weight F32 12768 32
pad 32
