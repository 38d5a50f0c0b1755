//! The `client` binary.

use std::process::ExitCode;

use clap::Parser;
use pelton_client::command::Command;
use pelton_client::verb;

fn main() -> ExitCode {
    // A reader that closed the pipe ends the client quietly, as it does every Unix tool.
    // SAFETY: no other thread exists yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the client cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(verb::run(command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", pelton_runtime_core::failure::error_chain(&error));
            ExitCode::FAILURE
        }
    }
}
