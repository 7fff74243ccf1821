# The front door: verbs only.  What they do stands in CMakeLists.txt, cmake/ and dev/.
#
#   make            install what is missing, build build/carillon
#   make run        the same, then serve on 127.0.0.1:6001 with the default app
#   make test       everything: unit, flow, browser and client tests
#   make asan tsan  unit and flow tests under the sanitizers
#   make fuzz       every fuzz target for FUZZ_SECONDS
#   make chaos      links and servers that fail, for CHAOS_SECONDS, from CHAOS_SEED
#   make bench      what a delivery costs, beside a floor
#   make lint       format, layers, clang-tidy    (make format: apply the format)
#   make install    under PREFIX, in DESTDIR
#   make NO_DEMO=1  a build that needs no Node: GET / has no demo page

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 10
NO_DEMO ?=
export NO_DEMO

demo = -DNO_DEMO=$(if $(filter-out 0 no off OFF,$(NO_DEMO)),ON,OFF)
# $(call build,PRESET,FOLDER[,TARGET])
build = cmake --preset $(1) --log-level=WARNING $(demo) >/dev/null \
	&& cmake --build $(2) $(if $(3),--target $(3))

.PHONY: all run guide test asan tsan fuzz chaos bench lint format check clean install

all:
	@dev/setup build
	@$(call build,release,build,carillon)

run: all
	@build/carillon serve

guide: all
	@dev/setup guide
	@examples/guide/start

test:
	@dev/setup build test
	@$(call build,release,build)
	@dev/test build unit flow http browser client

asan tsan:
	@dev/setup build test
	@$(call build,$@,build/$@)
	@TEST_SLOW=$${TEST_SLOW:-4} dev/test build/$@ unit flow http

fuzz:
	@dev/setup build check
	@$(call build,fuzz,build/fuzz)
	@dev/fuzz $(FUZZ_SECONDS)

chaos:
	@dev/setup build test
	@$(call build,release,build,carillon)
	@dev/test build chaos

bench: all
	@bench/run

lint:
	@dev/setup build check
	@dev/lint

format:
	@dev/setup check
	@dev/format

check: lint test

clean:
	rm -rf build

install: all
	cmake --install build --prefix "$(PREFIX)"
