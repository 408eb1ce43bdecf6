# A tensor that is no half.
head 4 4
key general.type string
str adapter
key adapter.type string
str lora
key general.architecture string
str llama
key adapter.lora.alpha f32
f32 4
tensor blk.0.attn_q.weight.lora_a F32 0 2 8
tensor blk.0.attn_q.weight.lora_b F32 64 4 2
tensor blk.0.ffn_up_exps.weight.lora_a F16 96 2 2 8
tensor blk.0.ffn_up_exps.weight.lora_c F16 160 2 4 2
pad 32
zeros 192
