# Every type of metadata, arrays of them, tensors of several types.
head 4 9
key a.u8 u8
u8 255
key a.u16 u16
u16 7
key a.i32 i32
i32 -3
key a.f32 f32
f32 0.5
key a.bool bool
u8 1
key a.string string
str "a text"
key a.u64 u64
u64 18446744073709551615
key a.strings array
array string 3
str one
str ""
str "\xff"
key a.numbers array
array f32 2
f32 1
f32 -1
tensor norm F32 0 4
tensor q4 Q4_0 32 1 32
tensor q8 Q8_0 64 1 32
tensor cube F16 128 2 1 2
pad 32
zeros 136
