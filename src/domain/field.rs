//! Bad input, said so that the caller can mend it: which field, and what is wrong with it.

use std::fmt;

/// At most this many violations are reported of one request.
const MAX_VIOLATIONS: usize = 16;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field in the request: `metrics[3].key`.
    pub field: String,
    /// What is wrong, naming the limit: `has 251 characters; at most 250 are allowed`.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A request that cannot be served as it is: one or more fields are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    violations: Vec<FieldError>,
}

impl Invalid {
    /// One wrong field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldError::new(field, message).into()
    }

    /// The violations, at least one.
    pub fn violations(&self) -> &[FieldError] {
        &self.violations
    }
}

impl From<FieldError> for Invalid {
    fn from(error: FieldError) -> Self {
        Self { violations: vec![error] }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

/// Collects the violations of a request, so that one answer names them all.
#[derive(Debug, Default)]
pub struct Check {
    violations: Vec<FieldError>,
}

impl Check {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the value, or the violation.
    pub fn take<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Adds a violation; beyond the sixteenth they are dropped.
    pub fn fail(&mut self, error: FieldError) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(error);
        }
    }

    /// Adds a violation of `field` unless the condition holds.
    pub fn require(&mut self, condition: bool, field: &str, message: &str) {
        if !condition {
            self.fail(FieldError::new(field, message));
        }
    }

    /// Errors when anything was wrong.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.violations.is_empty() { Ok(()) } else { Err(Invalid { violations: self.violations }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_names_every_violation_up_to_sixteen() {
        let mut check = Check::new();
        assert_eq!(check.take::<i32>(Ok(3)), Some(3));
        check.require(true, "a", "unused");
        check.require(false, "b", "is required");
        assert_eq!(check.take::<i32>(Err(FieldError::new("c", "is bad"))), None);
        assert_eq!(check.finish().unwrap_err().to_string(), "b: is required; c: is bad");

        let mut many = Check::new();
        for index in 0..100 {
            many.fail(FieldError::new(format!("metrics[{index}].key"), "is required"));
        }
        let invalid = many.finish().unwrap_err();
        assert_eq!(invalid.violations().len(), 16);
        assert_eq!(invalid.violations()[15].field, "metrics[15].key");
        assert_eq!(Check::new().finish(), Ok(()));
    }
}
