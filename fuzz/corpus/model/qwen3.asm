head 13 6
key general.architecture string
str qwen3
key qwen3.block_count u32
u32 1
key qwen3.embedding_length u32
u32 32
key qwen3.feed_forward_length u32
u32 32
key qwen3.context_length u32
u32 64
key qwen3.attention.head_count u32
u32 2
tensor token_embd.weight Q8_0 0 6 32
tensor blk.0.attn_norm.weight F32 224 32
tensor blk.0.attn_q.weight BF16 352 32 32
tensor blk.0.attn_k.weight BF16 2400 32 32
tensor blk.0.attn_v.weight BF16 4448 32 32
tensor blk.0.attn_q_norm.weight F32 6496 16
tensor blk.0.attn_k_norm.weight F32 6560 16
tensor blk.0.attn_output.weight BF16 6624 32 32
tensor blk.0.ffn_norm.weight F32 8672 32
tensor blk.0.ffn_gate.weight BF16 8800 32 32
tensor blk.0.ffn_up.weight BF16 10848 32 32
tensor blk.0.ffn_down.weight BF16 12896 32 32
tensor output_norm.weight F32 14944 32
pad 32
