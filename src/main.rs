//! The program: everything stands in `townlet::cli`.

fn main() -> std::process::ExitCode {
    townlet::cli::main()
}
