# A split of which the other part is missing.
head 0 3
key split.no u16
u16 0
key split.count u16
u16 2
key split.tensors.count i32
i32 1
