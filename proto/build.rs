//! Compiles the protocol definitions in `thanos/`, `prometheus/` and `grpc/` with a compiler written in Rust, so that
//! no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=thanos");
    println!("cargo::rerun-if-changed=grpc");
    println!("cargo::rerun-if-changed=prometheus");
    let files = [
        "thanos/store.proto",
        "thanos/info.proto",
        "thanos/metadata.proto",
        "thanos/rules.proto",
        "thanos/targets.proto",
        "thanos/exemplars.proto",
        "thanos/status.proto",
        "grpc/health.proto",
        "prometheus/metrics.proto",
        "prometheus/remote.proto",
    ];
    let files = protox::compile(files, ["."])?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
