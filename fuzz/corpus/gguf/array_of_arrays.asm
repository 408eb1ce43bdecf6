head 0 3
key a.before u32
u32 7
key a.nested array         # of whatever they hold, of no length, of arrays again
array array 4
array u8 2
u8 1
u8 2
array string 2
str one
str ""
array f32 0
array array 2
array bool 1
u8 1
array i64 1
u64 -1
key a.after string
str here
