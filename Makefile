# `make run` and `make test` are the two main targets. Each target calls one script or program.
.PHONY: run test deploy-test bench soak

# Builds the server without optimisation and starts it for development, without any configuration. Options of
# `realtime-server serve` go into ARGS: make run ARGS="--port 8081".
run:
	@tests/run-dev $(ARGS)

# Installs what is missing (Debian, Ubuntu), checks formatting and lints, runs every test.
test:
	@tests/run-all

# Builds and runs the container and the compose file, checks the Helm chart, and installs the tools for that. Debian, as root.
deploy-test:
	@tests/deploy/run

# The benchmark against a minimal relay, on two cores: tests/load/README.md. About a quarter of an hour, builds included.
bench:
	@cargo build --release -p realtime-server -p load && cargo run --release -q -p load -- $(ARGS)

# An hour of all attacks at once on nodes with 512 MB (tests/soak/README.md), then five minutes of fuzzing for every
# decoder and of requests written from the OpenAPI document: MINUTES=5 SECONDS_EACH=0 KILLS=0 make soak.
soak:
	@tests/run-soak
