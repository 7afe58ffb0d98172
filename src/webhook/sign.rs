//! Signatures by Standard Webhooks, version 1.
//!
//! In: a secret `whsec_…`, and the id, time and body of a delivery. Out: the value of the header `webhook-signature`. Must
//! not touch the body: what is signed is what is sent, byte by byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::Secret;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Lengths of a key that the standard allows, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("a webhook secret is `whsec_` and the base64 of 24 to 64 bytes; `wharf` makes one if you leave it out")]
pub struct BadSecret;

/// A signing key.
pub struct Key(Vec<u8>);

impl Key {
    /// Reads a secret.
    ///
    /// # Errors
    ///
    /// [`BadSecret`] if it has another form. The error never holds the secret.
    pub fn parse(secret: &Secret) -> Result<Self, BadSecret> {
        let encoded = secret.reveal().strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        if LENGTHS.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(BadSecret)
        }
    }

    /// The value of `webhook-signature` for one attempt; `timestamp` is that of `webhook-timestamp`, in seconds.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// A new secret of 32 random bytes.
///
/// # Errors
///
/// If the system has no randomness to give.
pub fn new_secret() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_vector_of_the_standard_comes_out() {
        let key = Key::parse(&secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_vector_of_the_documentation_comes_out() {
        let key = Key::parse(&secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).unwrap();
        let body = r#"{"schema":"wharf.v1","event":"message","data":{"body":"Grüße"}}"#;
        let signature = key.sign("dlv_01JZZZZZZZZZZZZZZZZZZZZZZZ", 1_760_000_000, body.as_bytes());
        let page = include_str!("../../docs/webhooks.md");
        assert!(page.contains(&signature), "docs/webhooks.md does not show {signature}");
        assert!(page.contains(body));
    }

    #[test]
    fn a_secret_made_here_can_be_used_here() {
        let made = new_secret().unwrap();
        assert!(Key::parse(&made).is_ok());
        assert_ne!(made.reveal(), new_secret().unwrap().reveal());
    }

    #[test]
    fn secrets_of_another_form_are_refused() {
        for text in [
            "",
            "whsec_",
            "whsec_%%%",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
        ] {
            assert!(Key::parse(&secret(text)).is_err(), "{text}");
        }
    }
}
