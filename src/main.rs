//! The `stagegate` program. Everything is in the library.

fn main() -> std::process::ExitCode {
    stagegate::cli::main()
}
