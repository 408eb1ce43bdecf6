# Lizzie: `make` builds build/lizzie; `make help` lists the rest.
#
# Sources are found by folder: every src/ROOM/**.c goes into the library, src/cli into the program, and every
# tests/**/test_NAME.c is a program of its own. A file's suffix gives its instruction set (_avx2, _avx512, _amx):
# nothing else is compiled for more than the baseline.

BUILD ?= build
CC = gcc
OPT ?= -O2
# Kernels are loops of known length: -O3 unrolls them.
OPT_KERNEL ?= -O3
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Werror
CFLAGS_ALL = -std=gnu17 $(OPT) -g $(WARN) -ffp-contract=off -fno-math-errno -fvisibility=hidden -fPIC -pthread \
    -Iinclude -Isrc -D_GNU_SOURCE $(SAN) $(DEFS) $(CFLAGS)
LIBS = -lxxhash -lutf8proc -lm -pthread $(SAN)

ISA_avx2 = -mavx2 -mfma -mf16c -mbmi -mbmi2
ISA_avx512 = $(ISA_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512cd -mavx512vnni -mavx512vbmi -mavx512vbmi2 \
    -mprefer-vector-width=512
ISA_amx = $(ISA_avx512) -mamx-tile -mamx-int8 -mamx-bf16
isa_of = $(if $(findstring _avx2.,$1),$(ISA_avx2))$(if $(findstring _avx512.,$1),$(ISA_avx512))$(if $(findstring _amx.,$1),$(ISA_amx))

# `make V=1` shows the commands.
say = $(if $(V),,@printf '  %-4s%s\n' $1 $2; )

ARCH := $(shell uname -m)
LIB_SRC := $(filter-out src/cli/%,$(wildcard src/*/*.c src/*/ref/*.c))
ifeq ($(ARCH),x86_64)
LIB_SRC += $(wildcard src/*/x86/*.c)
endif
CLI_SRC := $(wildcard src/cli/*.c)
TEST_SRC := $(wildcard tests/*/test_*.c)
# Stand-ins for parts of the library, linked only where named below.
TEST_FAKE_SRC := $(wildcard tests/lib/fake_*.c) tests/lib/engine_harness.c
TEST_LIB_SRC := $(filter-out $(TEST_FAKE_SRC),$(wildcard tests/lib/*.c))
BENCH_SRC := $(wildcard bench/*.c)
BENCH_LIB_SRC := $(wildcard bench/lib/*.c)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(BUILD)/%.o)
BENCH_LIB_OBJ := $(BENCH_LIB_SRC:%.c=$(BUILD)/%.o)
FAKE_MODEL_OBJ := $(BUILD)/tests/lib/fake_model.o $(BUILD)/tests/lib/engine_harness.o
FAKE_ENGINE_OBJ := $(BUILD)/tests/lib/fake_engine.o
# Rooms that reach the engine through <lizzie.h> alone, for builds on the fake engine of the tests.
LINE_OBJ := $(filter $(BUILD)/src/base/% $(BUILD)/src/sys/% $(BUILD)/src/verify/% $(BUILD)/src/line/% \
    $(BUILD)/src/text/jinja% $(BUILD)/src/text/text_unicode.o $(BUILD)/src/engine/engine_template.o,$(LIB_OBJ))
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
BENCH_BIN := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)

.PHONY: all tests benches quick test asan bench-peers help clean tidy install
.SECONDARY:

all: $(BUILD)/lizzie

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CFLAGS_ALL) $(if $(filter src/kernel/%,$<),$(OPT_KERNEL)) $(call isa_of,$(notdir $<)) -MMD -MP -c $< -o $@

$(BUILD)/liblizzie.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

# An archive, so that a test is linked with what it uses only.
$(BUILD)/libtests.a: $(TEST_LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(BUILD)/lizzie: $(CLI_OBJ) $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(LIBS)

ENGINE_TEST_BIN := $(filter $(BUILD)/tests/engine/%,$(TEST_BIN))
LINE_TEST_BIN := $(filter $(BUILD)/tests/line/%,$(TEST_BIN))

$(filter-out $(ENGINE_TEST_BIN) $(LINE_TEST_BIN),$(TEST_BIN)): %: %.o $(BUILD)/libtests.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

# The engine's tests bring a model of their own: named before the library, it takes the place of src/model.
$(ENGINE_TEST_BIN): %: %.o $(FAKE_MODEL_OBJ) $(BUILD)/libtests.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

# Tests of the line run on the fake engine, which is fast and has no model: so does a second program for shell tests.
$(BUILD)/libline-fake.a: $(LINE_OBJ) $(FAKE_ENGINE_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(LINE_TEST_BIN): %: %.o $(BUILD)/libtests.a $(BUILD)/libline-fake.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

$(BUILD)/lizzie-fake: $(CLI_OBJ) $(BUILD)/libline-fake.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_LIB_OBJ) $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(LIBS)

tests: $(TEST_BIN) $(BUILD)/lizzie-fake
benches: $(BENCH_BIN)

quick: all tests benches ## tests that take under a minute
	scripts/run-tests --build $(BUILD) --quick
test: all tests benches ## all that ./check runs on this build
	scripts/run-tests --build $(BUILD)
asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) --no-print-directory BUILD=$(BUILD)-asan OPT="-O1 -fno-var-tracking-assignments" OPT_KERNEL= DEFS=-DLIZ_DEBUG \
	    SAN="-fsanitize=address,undefined -fno-sanitize-recover=all" all tests benches
	scripts/run-tests --build $(BUILD)-asan --sanitized
bench-peers: benches ## Lizzie beside llama.cpp on the same file (needs Node.js and npm; docs/performance.md)
	bench/peers/run $(MODEL)
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
clean: ## removes what was built
	rm -rf $(BUILD) $(BUILD)-asan

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
