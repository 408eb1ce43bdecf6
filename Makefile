# Lizzie: `make` builds build/lizzie; `make help` lists the rest.
#
# Sources are found by folder: every src/ROOM/**.c up to the engine goes into the library, rooms above it into the program,
# and every tests/**/test_NAME.c is a program of its own. A file's suffix gives its instruction set (_avx2, _avxvnni,
# _avx512, _avx512bf16, _amx): nothing else is compiled for more than the baseline.

BUILD ?= build
CC = gcc
OPT ?= -O2
# Kernels are loops of known length: -O3 unrolls them.
OPT_KERNEL ?= -O3
# Clang misses fields that a designated initializer leaves out on purpose.
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Werror \
    $(if $(findstring clang,$(CC)),-Wno-missing-field-initializers)
CFLAGS_ALL = -std=gnu17 $(OPT) -g $(WARN) -ffp-contract=off -fno-math-errno -fvisibility=hidden -fPIC -pthread \
    -Iinclude -Isrc -D_GNU_SOURCE $(SAN) $(DEFS) $(CFLAGS)
LIBS = -lxxhash -lutf8proc -lm -pthread $(SAN)
CLI_LIBS = -ledit

ISA_avx2 = -mavx2 -mfma -mf16c -mbmi -mbmi2
ISA_avxvnni = $(ISA_avx2) -mavxvnni
ISA_avx512 = $(ISA_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512cd -mavx512vnni -mavx512vbmi -mavx512vbmi2 \
    -mprefer-vector-width=512
ISA_avx512bf16 = $(ISA_avx512) -mavx512bf16
ISA_amx = $(ISA_avx512) -mamx-tile -mamx-int8 -mamx-bf16
isa_of = $(ISA_$(lastword $(subst _, ,$(basename $1))))

# `make V=1` shows the commands.
say = $(if $(V),,@printf '  %-4s%s\n' $1 $2; )

# The compiler's, which may be a cross compiler.
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ABOVE_LIB := src/line/% src/serve/%
LIB_SRC := $(filter-out src/cli/% $(ABOVE_LIB),$(wildcard src/*/*.c src/*/ref/*.c))
ifeq ($(ARCH),x86_64)
LIB_SRC += $(wildcard src/*/x86/*.c)
endif
ABOVE_SRC := $(filter $(ABOVE_LIB),$(wildcard src/*/*.c))
CLI_SRC := $(wildcard src/cli/*.c)
TEST_SRC := $(wildcard tests/*/test_*.c)
# Stand-ins for parts of the library, linked only where named below.
TEST_FAKE_SRC := $(wildcard tests/lib/fake_*.c) tests/lib/engine_harness.c
TEST_LIB_SRC := $(filter-out $(TEST_FAKE_SRC),$(wildcard tests/lib/*.c))
# Fuzz targets, linked with a main that replays files, or with libFuzzer's (`make fuzz`).
FUZZ_SRC := $(wildcard fuzz/fuzz_*.c)
FUZZ_CC ?= clang
FUZZ_MAIN = $(BUILD)/fuzz/replay.o
BENCH_SRC := $(wildcard bench/*.c)
BENCH_LIB_SRC := $(wildcard bench/lib/*.c)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
ABOVE_OBJ := $(ABOVE_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
# Tests take shapes and random weights from bench.
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/bench/lib/weights.o $(BUILD)/bench/lib/shapes.o
BENCH_LIB_OBJ := $(BENCH_LIB_SRC:%.c=$(BUILD)/%.o)
FAKE_MODEL_OBJ := $(BUILD)/tests/lib/fake_model.o $(BUILD)/tests/lib/engine_harness.o
FAKE_ENGINE_OBJ := $(BUILD)/tests/lib/fake_engine.o
# Rooms that reach the engine through <lizzie.h> alone, for builds on the fake engine of the tests.
LINE_OBJ := $(filter $(BUILD)/src/base/% $(BUILD)/src/sys/% $(BUILD)/src/verify/% $(BUILD)/src/line/% \
    $(BUILD)/src/text/jinja% $(BUILD)/src/text/text_unicode.o $(BUILD)/src/decode/sampling.o \
    $(BUILD)/src/engine/engine_template.o $(BUILD)/src/engine/engine_messages.o,$(LIB_OBJ) $(ABOVE_OBJ))
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
BENCH_BIN := $(BENCH_SRC:bench/%.c=$(BUILD)/bench/%)
FUZZ_BIN := $(FUZZ_SRC:fuzz/fuzz_%.c=$(BUILD)/fuzz/%)

# The version stands in the header. While MAJOR is 0 a new MINOR is a new interface, and the soname says so.
version_of = $(shell sed -n 's/^\#define LIZ_VERSION_$1 //p' include/lizzie.h)
VERSION := $(call version_of,MAJOR).$(call version_of,MINOR).$(call version_of,PATCH)
SONAME := liblizzie.so.$(if $(filter 0.%,$(VERSION)),0.$(call version_of,MINOR),$(call version_of,MAJOR))
SHARED := $(BUILD)/liblizzie.so.$(VERSION)

# Where `make install` puts things; DESTDIR before all of it for packagers.
prefix = /usr/local
exec_prefix = $(prefix)
bindir = $(exec_prefix)/bin
libdir = $(exec_prefix)/lib
includedir = $(prefix)/include
datarootdir = $(prefix)/share
mandir = $(datarootdir)/man
pkgconfigdir = $(libdir)/pkgconfig
bashcompletiondir = $(datarootdir)/bash-completion/completions
zshcompletiondir = $(datarootdir)/zsh/site-functions
fishcompletiondir = $(datarootdir)/fish/vendor_completions.d
INSTALL = install
INSTALL_PROGRAM = $(INSTALL) -m 755
INSTALL_DATA = $(INSTALL) -m 644

.PHONY: all tests benches amx amx-tests avxvnni avxvnni-tests fuzz fuzz-run fuzz-targets tsan tsan-tests tiny quick test asan bench-peers help clean install uninstall
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/lizzie $(BUILD)/liblizzie.a $(SHARED) $(BUILD)/lizzie.1

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CFLAGS_ALL) $(if $(filter src/kernel/% src/tensor/%,$<),$(OPT_KERNEL)) $(call isa_of,$(notdir $<)) -MMD -MP -c $< -o $@

$(BUILD)/liblizzie.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(BUILD)/libabove.a: $(ABOVE_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

# Of the symbols that are visible those listed in the map are exported, each under the version that brought it.
$(SHARED): $(LIB_OBJ) include/lizzie.map
	$(call say,LD,$@)$(CC) -shared -o $@ $(LIB_OBJ) -Wl,-soname,$(SONAME) -Wl,--version-script=include/lizzie.map \
	    $(if $(SAN),,-Wl,-z,defs) $(LDFLAGS) $(LIBS)

# An archive, so that a test is linked with what it uses only.
$(BUILD)/libtests.a: $(TEST_LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(BUILD)/lizzie: $(CLI_OBJ) $(BUILD)/libabove.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(CLI_LIBS) $(LIBS)

# The manual's list of options is the program's own.
$(BUILD)/lizzie.1: docs/lizzie.1 scripts/man-options $(BUILD)/lizzie
	$(call say,MAN,$@)scripts/man-options $(BUILD)/lizzie docs/lizzie.1 >$@

ENGINE_TEST_BIN := $(filter $(BUILD)/tests/engine/%,$(TEST_BIN))
LINE_TEST_BIN := $(filter $(BUILD)/tests/line/%,$(TEST_BIN))
CLI_TEST_BIN := $(filter $(BUILD)/tests/cli/%,$(TEST_BIN))

$(filter-out $(ENGINE_TEST_BIN) $(LINE_TEST_BIN) $(CLI_TEST_BIN),$(TEST_BIN)): %: %.o $(BUILD)/libtests.a $(BUILD)/libabove.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

# An archive, so that the program's main is not among what a test is linked with.
$(BUILD)/libcli.a: $(CLI_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(CLI_TEST_BIN): %: %.o $(BUILD)/libcli.a $(BUILD)/libtests.a $(BUILD)/libabove.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(CLI_LIBS) $(LIBS)

# Memory that is refused (tests/lib/alloc_fail.h).
WRAP_ALLOC = $(addprefix -Wl$(,)--wrap=,malloc calloc realloc aligned_alloc free mmap munmap strdup strndup asprintf pthread_create)
, := ,
$(addprefix $(BUILD)/tests/,whole/test_memory_refused whole/test_line_refused model/test_matrix): LIBS += $(WRAP_ALLOC)
$(BUILD)/tests/sys/test_files: LIBS += -Wl,--wrap=fsync,--wrap=fdatasync

# The engine's tests bring a model of their own: named before the library, it takes the place of src/model.
$(ENGINE_TEST_BIN): %: %.o $(FAKE_MODEL_OBJ) $(BUILD)/libtests.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

# Tests of the line run on the fake engine, which is fast and has no model: so does a second program for shell tests.
$(BUILD)/libline-fake.a: $(LINE_OBJ) $(FAKE_ENGINE_OBJ)
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $^

$(LINE_TEST_BIN): %: %.o $(BUILD)/libtests.a $(BUILD)/libline-fake.a
	$(call say,LD,$@)$(CC) -o $@ $^ -lcmocka -lpcre2-8 $(LIBS)

# Training is the true one.
$(BUILD)/lizzie-fake: $(CLI_OBJ) $(BUILD)/libline-fake.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(CLI_LIBS) $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BENCH_LIB_OBJ) $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $^ $(LIBS)

# Targets named line_* see the line on the fake engine, the others the library.
FUZZ_LIB_OBJ := $(BUILD)/fuzz/lib/fuzz_input.o $(BUILD)/libtests.a
FUZZ_LINE_BIN := $(filter $(BUILD)/fuzz/line_%,$(FUZZ_BIN))

$(filter-out $(FUZZ_LINE_BIN),$(FUZZ_BIN)): $(BUILD)/fuzz/%: $(BUILD)/fuzz/fuzz_%.o $(filter %.o,$(FUZZ_MAIN)) $(FUZZ_LIB_OBJ) $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $(filter-out %.o,$(FUZZ_MAIN)) $^ $(LIBS)

$(FUZZ_LINE_BIN): $(BUILD)/fuzz/%: $(BUILD)/fuzz/fuzz_%.o $(filter %.o,$(FUZZ_MAIN)) $(FUZZ_LIB_OBJ) $(BUILD)/libline-fake.a $(BUILD)/liblizzie.a
	$(call say,LD,$@)$(CC) -o $@ $(filter-out %.o,$(FUZZ_MAIN)) $^ $(LIBS)

# Tests of instructions that a machine lacks: the machine code of every build, whose instructions are done in software.
SOFTWARE_OBJ = $(BUILD)/tests/lib/x86/illegal.o
AMX_TESTS = kernel/test_kernel kernel/test_attention model/test_reference model/test_moe model/test_settings model/test_shared_keys \
    whole/test_adapters train/test_gemm train/test_gradients cli/test_score_tiers cli/test_same_bytes.
AVXVNNI_TESTS = kernel/test_kernel kernel/test_attention
software_tests = $(foreach t,$2,$(patsubst $(BUILD)/%,$(BUILD)/$1/%,$(filter $(BUILD)/tests/$t,$(TEST_BIN))))
define software
$(BUILD)/$1/lizzie: $(BUILD)/tests/lib/x86/$2.o $$(SOFTWARE_OBJ) $$(CLI_OBJ) $(BUILD)/libabove.a $(BUILD)/liblizzie.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) -o $$@ $$^ $$(CLI_LIBS) $$(LIBS)
$(BUILD)/$1/tests/%: $(BUILD)/tests/lib/x86/$2.o $$(SOFTWARE_OBJ) $(BUILD)/tests/%.o $(BUILD)/libtests.a $(BUILD)/libabove.a $(BUILD)/liblizzie.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) -o $$@ $$^ -lcmocka -lpcre2-8 $$(LIBS)
endef
$(eval $(call software,amx,amx_software_avx512))
$(eval $(call software,avxvnni,avxvnni_software_avx2))
amx-tests: $(BUILD)/amx/lizzie $(call software_tests,amx,$(AMX_TESTS)) $(BUILD)/bench/write_model
	@ln -sfn ../bench $(BUILD)/amx/bench
avxvnni-tests: $(call software_tests,avxvnni,$(AVXVNNI_TESTS))

tests: $(TEST_BIN) $(FUZZ_BIN) $(BUILD)/lizzie-fake
benches: $(BENCH_BIN)
fuzz-targets: $(FUZZ_BIN)

quick: all tests benches ## tests that take under a minute
	scripts/run-tests --build $(BUILD) --quick
test: all tests benches ## all that ./check runs on this build
	scripts/run-tests --build $(BUILD)
asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) --no-print-directory BUILD=$(BUILD)-asan OPT="-O1 -fno-var-tracking-assignments" OPT_KERNEL= DEFS=-DLIZ_DEBUG \
	    SAN="-fsanitize=address,undefined -fno-sanitize-recover=all" all tests benches
	scripts/run-tests --build $(BUILD)-asan --sanitized
# The rooms with threads, and the library on a real model.
TSAN_TESTS = engine/ line/ sys/ whole/test_library
TSAN_BIN = $(foreach t,$(TSAN_TESTS),$(filter $(BUILD)/tests/$t%,$(TEST_BIN)))
tsan-tests: $(TSAN_BIN)
tsan: ## the tests of engine and line under ThreadSanitizer, on the sizes of `make tiny`
	$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan OPT="-O1 -fno-var-tracking-assignments" OPT_KERNEL= \
	    DEFS="-DLIZ_TINY -DLIZ_DEBUG" SAN=-fsanitize=thread tsan-tests
	LIZZIE_TEST_TINY=1 scripts/run-tests --build $(BUILD)-tsan --sanitized $(TSAN_TESTS)
amx: ## the tests of the AMX tier on a machine that has AVX-512 and no AMX: its instructions in software
	$(MAKE) --no-print-directory amx-tests
	SAME_SHORT=1 LIZZIE_TEST_AMX=software scripts/run-tests --build $(BUILD)/amx $(AMX_TESTS)
avxvnni: ## the tests of the 256-bit VNNI on a machine that has AVX2 alone: its instruction in software
	$(MAKE) --no-print-directory avxvnni-tests
	LIZZIE_TEST_SHORT=1 scripts/run-tests --build $(BUILD)/avxvnni $(AVXVNNI_TESTS)
tiny: ## the tests on pages of one token, steps of three rows and arenas of 64 bytes
	$(MAKE) --no-print-directory BUILD=$(BUILD)-tiny DEFS="-DLIZ_TINY -DLIZ_DEBUG" all tests benches
	LIZZIE_TEST_TINY=1 scripts/run-tests --build $(BUILD)-tiny --sanitized
fuzz: ## the fuzz targets with libFuzzer (clang), in build-fuzz/
	$(MAKE) --no-print-directory BUILD=build-fuzz CC="$(FUZZ_CC)" OPT=-O1 OPT_KERNEL= DEFS=-DLIZ_DEBUG FUZZ_MAIN=-fsanitize=fuzzer \
	    SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" fuzz-targets
fuzz-run: fuzz tests ## runs them, `TIME=60` seconds each, or `NAME=gguf` alone
	scripts/run-fuzz --build $(BUILD) --time $(or $(TIME),60) $(NAME)
bench-peers: all benches ## Lizzie beside llama.cpp on the same file (needs Node.js and npm; docs/performance.md)
	bench/peers/run $(MODEL) $(ARGS)
# What is installed, as FOLDER_VARIABLE:FILE.
INSTALLED = bindir:lizzie includedir:lizzie.h includedir:lizzie_status.h libdir:liblizzie.a \
    libdir:liblizzie.so.$(VERSION) libdir:$(SONAME) libdir:liblizzie.so pkgconfigdir:lizzie.pc \
    mandir:man1/lizzie.1 mandir:man3/lizzie.3 \
    bashcompletiondir:lizzie zshcompletiondir:_lizzie fishcompletiondir:lizzie.fish
installed_path = $(DESTDIR)$($(firstword $(subst :, ,$1)))/$(lastword $(subst :, ,$1))

# The shell takes the folders' names: make's functions cut a path at its spaces. Folders that are there stay as they are.
install: all ## the program, the library, man pages and completions; prefix=/usr/local, DESTDIR
	umask 022; for file in $(foreach file,$(INSTALLED),"$(call installed_path,$(file))"); do mkdir -p "$${file%/*}" || exit; done
	$(INSTALL_PROGRAM) $(BUILD)/lizzie "$(DESTDIR)$(bindir)/lizzie"
	$(INSTALL_DATA) include/lizzie.h include/lizzie_status.h "$(DESTDIR)$(includedir)"
	$(INSTALL_DATA) $(BUILD)/liblizzie.a $(SHARED) "$(DESTDIR)$(libdir)"
	ln -sf liblizzie.so.$(VERSION) "$(DESTDIR)$(libdir)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(libdir)/liblizzie.so"
	sed -e 's|@prefix@|$(prefix)|' -e 's|@exec_prefix@|$(patsubst $(prefix)%,$${prefix}%,$(exec_prefix))|' \
	    -e 's|@libdir@|$(patsubst $(exec_prefix)/%,$${exec_prefix}/%,$(libdir))|' \
	    -e 's|@includedir@|$(patsubst $(prefix)/%,$${prefix}/%,$(includedir))|' -e 's|@version@|$(VERSION)|' \
	    scripts/lizzie.pc.in >"$(DESTDIR)$(pkgconfigdir)/lizzie.pc"
	chmod 644 "$(DESTDIR)$(pkgconfigdir)/lizzie.pc"
	$(INSTALL_DATA) $(BUILD)/lizzie.1 "$(DESTDIR)$(mandir)/man1"
	$(INSTALL_DATA) docs/lizzie.3 "$(DESTDIR)$(mandir)/man3"
	$(INSTALL_DATA) scripts/completion/lizzie.bash "$(DESTDIR)$(bashcompletiondir)/lizzie"
	$(INSTALL_DATA) scripts/completion/lizzie.zsh "$(DESTDIR)$(zshcompletiondir)/_lizzie"
	$(INSTALL_DATA) scripts/completion/lizzie.fish "$(DESTDIR)$(fishcompletiondir)/lizzie.fish"
uninstall: ## takes them away again; with the same variables
	rm -f $(foreach file,$(INSTALLED),"$(call installed_path,$(file))")
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
clean: ## removes what was built
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-tiny build-clang build-fuzz

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
