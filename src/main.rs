//! The program: starts the command line and turns its answer into an exit code.

fn main() -> anyhow::Result<()> {
    wharf::cli::run()
}
