head 1 1
key general.alignment u32
u32 64
tensor t I8 0 3
pad 64
zeros 3
