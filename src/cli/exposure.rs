//! What clients of a service may read without a token, from the configuration and the address. Rule: "Tokens and roles".

use std::net::SocketAddr;

use townlet_server::AnonymousReading;
use townlet_town::config::{AnonymousReading as Setting, Config};

/// What clients may read without a token. The setting wins; `auto` depends on the address.
pub(super) fn anonymous(address: SocketAddr, config: &Config) -> AnonymousReading {
    match config.console_auth.anonymous {
        Setting::Full => AnonymousReading::Full,
        Setting::None => AnonymousReading::None,
        Setting::Auto if address.ip().is_loopback() => AnonymousReading::Full,
        Setting::Auto | Setting::Status => AnonymousReading::Status,
    }
}

/// What clients may read without a token, and where that is set, as a sentence.
pub(super) fn sentence(address: SocketAddr, config: &Config) -> String {
    let what = match anonymous(address, config) {
        AnonymousReading::Full => "everything",
        AnonymousReading::Status => "health and readiness only",
        AnonymousReading::None => "only that the process lives",
    };
    let setting = config.console_auth.anonymous;
    let place = match setting {
        Setting::Auto if address.ip().is_loopback() => " on an address of this machine",
        Setting::Auto => " on an address beyond this machine",
        _ => "",
    };
    format!("Without a token, clients of {address} read {what} (console_auth.anonymous: {}{place}).", setting.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_wins_over_the_default_of_the_address() {
        let shown = |address: &str, setting| {
            let mut config = Config::default();
            config.console_auth.anonymous = setting;
            let address = address.parse().unwrap();
            (anonymous(address, &config), sentence(address, &config))
        };
        let (local, public) = ("127.0.0.1:7420", "0.0.0.0:7420");
        assert_eq!(shown(local, Setting::Auto).0, AnonymousReading::Full);
        assert_eq!(shown("[::1]:7420", Setting::Auto).0, AnonymousReading::Full);
        assert_eq!(shown(public, Setting::Auto).0, AnonymousReading::Status);
        assert_eq!(
            shown(public, Setting::Auto).1,
            "Without a token, clients of 0.0.0.0:7420 read health and readiness only (console_auth.anonymous: auto on an \
             address beyond this machine)."
        );
        assert_eq!(shown(public, Setting::Full).0, AnonymousReading::Full);
        assert!(shown(public, Setting::Full).1.contains("read everything (console_auth.anonymous: full)."));
        assert_eq!(shown(local, Setting::None).0, AnonymousReading::None);
    }
}
