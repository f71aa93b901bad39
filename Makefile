# Two commands matter: `make run` and `make test`. Each target is one line; the work is in the scripts.
.PHONY: run test deploy-test bench soak

# Builds the server without optimisation and starts it for development. Nothing else is needed. Options of
# `realtime-server serve` go into ARGS: make run ARGS="--port 8081".
run:
	@tests/run-dev $(ARGS)

# Installs what is missing (Debian, Ubuntu), checks formatting and lints, runs every test.
test:
	@tests/run-all

# Builds and runs the container and the compose file, with tools that it installs. Debian, as root.
deploy-test:
	@tests/deploy/run

# The benchmark against a minimal relay, on two cores: tests/load/README.md. About ten minutes, builds included.
bench:
	@cargo build --release -p realtime-server -p load && cargo run --release -q -p load -- $(ARGS)

# Fuzzes every decoder: SECONDS_EACH=600 make soak.
soak:
	@tests/soak
