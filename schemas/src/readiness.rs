//! What `/readyz` says: each dependency of a service, and whether it answers. Pure data; it asks nobody anything.

/// A service's dependencies as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// In the order in which they are shown.
    pub dependencies: Vec<Dependency>,
}

/// One thing that a service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its name, e.g. `journal`.
    pub name: &'static str,
    /// Fine, or what is wrong with it in words.
    pub state: Result<(), String>,
}

impl Readiness {
    /// Whether every dependency is fine.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.dependencies.iter().all(|dependency| dependency.state.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dependency_in_trouble_makes_the_service_unready() {
        let fine = Dependency { name: "journal", state: Ok(()) };
        let down = Dependency { name: "registry", state: Err("no answer".to_owned()) };
        assert!(Readiness { dependencies: vec![fine.clone()] }.ready());
        assert!(!Readiness { dependencies: vec![fine, down] }.ready());
    }
}
