//! Turns `proto/` into code: messages, tonic services, and for each operation the glue that checks
//! its access rule before it calls the service function of its name. Nothing generated is committed.

#[path = "build/descriptor.rs"]
mod descriptor;
#[path = "build/json.rs"]
mod json;
#[path = "build/operations.rs"]
mod operations;
#[path = "build/rest.rs"]
mod rest;

use std::path::{Path, PathBuf};
use std::{env, error, fs, io};

const PROTO_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");

    let mut files = Vec::new();
    proto_files(Path::new(PROTO_ROOT), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files)?;

    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    // The plain descriptor set loses our options; the encoded one keeps them.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out_dir.join("stagegate.bin"), &encoded)?;

    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".stagegate.v1.UploadArtifactRequest.chunk")
        .bytes(".stagegate.v1.DownloadArtifactResponse.chunk")
        .bytes(".stagegate.v1.ExportLedgerResponse.chunk")
        .bytes(".stagegate.mlflow.v1.WriteArtifactRequest.chunk")
        .bytes(".stagegate.mlflow.v1.UploadRunArtifactRequest.chunk")
        .bytes(".stagegate.mlflow.v1.UploadPartRequest.chunk")
        .include_file("contract.rs")
        .compile_fds(compiler.file_descriptor_set())?;

    let pool = prost_reflect::DescriptorPool::decode(encoded.as_slice())?;
    fs::write(out_dir.join("operations.rs"), operations::generate(&pool)?)?;
    fs::write(out_dir.join("json.rs"), json::generate(&pool)?)?;
    Ok(())
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}
