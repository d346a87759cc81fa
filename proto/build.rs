//! Compiles the protocol definitions in `thanos/` with a compiler written in Rust, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=thanos");
    let files = protox::compile(["thanos/store.proto", "thanos/info.proto"], ["."])?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
