//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::simulator;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a WhatsApp of our own, for trying things out.
    Simulate {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:7070")]
        listen: SocketAddr,
        /// Seconds for which a code is shown.
        #[arg(long, default_value_t = 20)]
        qr_ttl: u64,
    },
}

/// Runs the program.
///
/// # Errors
/// What the command could not do.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match Arguments::parse().command {
        Command::Simulate { listen, qr_ttl } => runtime.block_on(simulate(listen, Duration::from_secs(qr_ttl))),
    }
}

async fn simulate(listen: SocketAddr, qr_ttl: Duration) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let running = simulator::serve(
        simulator::Options {
            qr_ttl,
            ..simulator::Options::new(listen)
        },
        stop.clone(),
    )
    .await?;
    println!("WhatsApp Web: http://{}/", running.addr);
    println!("Phones:       http://{}/phones", running.addr);
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    running.closed().await;
    Ok(())
}
