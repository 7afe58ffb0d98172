//! Names to addresses, of which only allowed ones are handed on.
//!
//! In: a name that is about to be dialled, each time anew. Out: addresses that `address` has passed. The connector gets them
//! from here and asks nobody else, so a name that answers differently the second time gains nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address;
use super::error::Refused;

/// How a name is looked up; tests have one of their own.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's own look-up.
pub(super) fn system() -> Lookup {
    Arc::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed())
}

/// The resolver that hands only allowed addresses to the connector.
pub(super) struct Guard {
    pub(super) allow: Arc<[IpNet]>,
    pub(super) lookup: Lookup,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.allow);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let all = found.await?;
            let allowed: Vec<SocketAddr> = all
                .iter()
                .copied()
                .filter(|at| address::is_allowed(at.ip(), &allow))
                .collect();
            if allowed.is_empty() && !all.is_empty() {
                let found = all.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>().join(", ");
                let why = format!("`{}` is {found}, which [egress] allow does not name", name.as_str());
                return Err(Refused(why).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}
