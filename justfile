# Short names for what CI does.

# Everything CI checks, with the tools this machine has.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    cargo nextest run --workspace --locked
    cargo run -q -p invar -- check rules/
    cargo run -q -p invar -- test rules/

# The whole path on this machine, with faults coming and going.
demo:
    cargo run --release -p invar -- demo
