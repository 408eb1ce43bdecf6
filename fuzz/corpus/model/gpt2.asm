head 16 6
key general.architecture string
str gpt2
key gpt2.block_count u32
u32 1
key gpt2.embedding_length u32
u32 32
key gpt2.feed_forward_length u32
u32 32
key gpt2.context_length u32
u32 64
key gpt2.attention.head_count u32
u32 2
tensor token_embd.weight Q8_0 0 6 32
tensor position_embd.weight F32 224 64 32
tensor blk.0.attn_norm.weight F32 8416 32
tensor blk.0.attn_qkv.weight Q8_0 8544 96 32
tensor blk.0.attn_output.weight Q8_0 11808 32 32
tensor blk.0.ffn_norm.weight F32 12896 32
tensor blk.0.ffn_up.weight Q8_0 13024 32 32
tensor blk.0.ffn_down.weight Q8_0 14112 32 32
tensor blk.0.attn_norm.bias F32 15200 32
tensor blk.0.attn_qkv.bias F32 15328 96
tensor blk.0.attn_output.bias F32 15712 32
tensor blk.0.ffn_norm.bias F32 15840 32
tensor blk.0.ffn_up.bias F32 15968 32
tensor blk.0.ffn_down.bias F32 16096 32
tensor output_norm.weight F32 16224 32
tensor output_norm.bias F32 16352 32
pad 32
