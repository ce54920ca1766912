//! Compiles the protobuf definitions of `proto/` with protox, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let content = protox::compile(["proto/content.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(content)?;
    let others = protox::compile(["proto/node.proto", "proto/store.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .extern_path(".ailurus.content.v1", "crate::wire::content")
        .compile_fds(others)?;
    Ok(())
}
