//! Compiles the protocol definitions in `thanos/`, `prometheus/` and `grpc/` with a compiler written in Rust, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=thanos");
    println!("cargo::rerun-if-changed=grpc");
    println!("cargo::rerun-if-changed=prometheus");
    let files = protox::compile(
        [
            "thanos/store.proto",
            "thanos/info.proto",
            "grpc/health.proto",
            "prometheus/metrics.proto",
            "prometheus/remote.proto",
        ],
        ["."],
    )?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
