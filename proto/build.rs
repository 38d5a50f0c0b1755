//! Compiles the protocol with a pure-Rust compiler, so that no external `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/pelton.proto");
    let descriptors = protox::compile(["proto/pelton.proto"], ["proto"])?;
    // Maps are ordered, so that equal messages have equal bytes.
    // Programs travel without being copied.
    tonic_prost_build::configure().btree_map(".").bytes(".pelton.v1.ArtifactChunk").compile_fds(descriptors)?;
    Ok(())
}
