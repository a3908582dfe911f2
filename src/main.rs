//! The `townlet` binary. See [`townlet::cli`].

fn main() -> std::process::ExitCode {
    townlet::cli::main()
}
