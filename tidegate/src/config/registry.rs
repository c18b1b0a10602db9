//! How the schema registry is reached, as it is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Who vouches for the registry, and who we are to it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RegistryClientConfig {
    /// Authorities that may vouch for it, PEM; none means those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Our certificate chain, PEM.
    pub(crate) cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) key_file: Option<PathBuf>,
    /// The user.
    pub(crate) username: Option<String>,
    /// The user's password.
    pub(crate) password: Option<String>,
    /// A token, in the place of user and password.
    pub(crate) token: Option<String>,
}

/// Shows no secret.
impl std::fmt::Debug for RegistryClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClientConfig")
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}

impl RegistryClientConfig {
    /// What cannot be, one line each; `url` is the registry's.
    pub(crate) fn check(&self, url: Option<&str>) -> Vec<String> {
        let tls = self.ca_file.is_some() || self.cert_file.is_some();
        let plain = url.is_some_and(|url| url.split(',').any(|url| !url.trim().starts_with("https://")));
        let rules = [
            (self.cert_file.is_some() != self.key_file.is_some(), "cert_file and key_file: one needs the other"),
            (self.username.is_some() != self.password.is_some(), "username and password: one needs the other"),
            (self.username.is_some() && self.token.is_some(), "token: stands in the place of username and password"),
            (tls && plain, "ca_file, cert_file: are for a registry at https://"),
            (
                *self != Self::default() && url.is_none(),
                "ca_file, cert_file, username, token: are used with a registry only",
            ),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, line)| line.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_stands_together() {
        let text = |text: &str| Some(text.to_owned());
        let odd = RegistryClientConfig { username: text("me"), token: text("x"), ..RegistryClientConfig::default() };
        assert_eq!(odd.check(Some("https://registry")).len(), 2);
        let plain = RegistryClientConfig { cert_file: Some("c".into()), ..RegistryClientConfig::default() };
        assert_eq!(plain.check(Some("https://a, http://b")).len(), 2);
        let good =
            RegistryClientConfig { username: text("me"), password: text("x"), ..RegistryClientConfig::default() };
        assert_eq!((good.check(Some("http://registry")).len(), good.check(None).len()), (0, 1));
        assert!(RegistryClientConfig::default().check(None).is_empty() && !format!("{good:?}").contains("x\""));
    }
}
