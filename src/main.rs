//! The `myelin` command: arguments in, an exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    myelin::cli::main()
}
