//! The versions of MLflow's database schema that are understood: Alembic's revisions in their order.

/// From MLflow 1.27 to 3.17.
const REVISIONS: [&str; 52] = [
    "bd07f7e963c5",
    "0c779009ac13",
    "cc1f77228345",
    "97727af70f4d",
    "3500859a5d39",
    "7f2a7d5fae7d",
    "2d6e25af4d3e",
    "acf3f17fdcc7",
    "867495a8f9d4",
    "5b0e9adcef9c",
    "4465047574b1",
    "f5a4f2784254",
    "0584bdc529eb",
    "400f98739977",
    "6953534de441",
    "bda7b8c39065",
    "cbc13b556ace",
    "770bee3ae1dd",
    "a1b2c3d4e5f6",
    "de4033877273",
    "1a0cddfcaa16",
    "534353b11cbc",
    "71994744cf8e",
    "3da73c924c2f",
    "bf29a5ff90ea",
    "1bd49d398cd23",
    "b7c8d9e0f1a2",
    "5d2d30f0abce",
    "c9d4e5f6a7b8",
    "2c33131f4dae",
    "d3e4f5a6b7c8",
    "d0e1f2a3b4c5",
    "c8d9e0f1a2b3",
    "1b5f0d9ad7c1",
    "e1f2a3b4c5d6",
    "76601a5f987d",
    "c3d6457b6d8a",
    "a5b4c3d2e1f0",
    "ae8bbe7743c9",
    "7d34483879f0",
    "da6fb0208061",
    "89d3d66ed43f",
    "b7e4c1a90f23",
    "a8b9c0d1e2f3",
    "c1d2e3f4a5b6",
    "c3d9e7f1a2b4",
    "6f8d9c3b2a1e",
    "1971f2d9a75b",
    "17e22815139b",
    "b7e2c1a4d9f3",
    "75868b020152",
    "dc11669786a5",
];

/// What a schema has, by its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    place: usize,
}

impl Schema {
    /// The schema of a revision, or what to do about one that is not known.
    pub fn of(revision: Option<&str>) -> Result<Self, String> {
        let Some(revision) = revision else {
            return Err("the database is not MLflow's, or older than MLflow 1.0: it has no row in alembic_version; run `mlflow db upgrade URL` with MLflow 1.27 or newer first".to_owned());
        };
        let place = REVISIONS.iter().position(|known| *known == revision);
        place.map(|place| Self { place }).ok_or_else(|| {
            format!(
                "the database has MLflow's schema {revision}, which is older than MLflow 1.27 or newer than 3.17: for an old one run `mlflow db upgrade URL` \
                 first (a copy will do), for a new one import from its running server with --from http://HOST:PORT"
            )
        })
    }

    fn has(self, revision: &str) -> bool {
        REVISIONS.iter().position(|known| *known == revision).is_some_and(|place| place <= self.place)
    }

    /// Times of experiments.
    pub fn experiment_times(self) -> bool {
        self.has("97727af70f4d")
    }

    /// Aliases of registered models.
    pub fn aliases(self) -> bool {
        self.has("3500859a5d39")
    }

    /// Data sets, inputs and their tags.
    pub fn inputs(self) -> bool {
        self.has("7f2a7d5fae7d")
    }

    /// Logged models.
    pub fn logged_models(self) -> bool {
        self.has("400f98739977")
    }

    /// The step at which a run made a logged model.
    pub fn input_steps(self) -> bool {
        self.has("6953534de441")
    }

    /// Workspaces.
    pub fn workspaces(self) -> bool {
        self.has("1b5f0d9ad7c1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_tell_what_there_is() {
        let oldest = Schema::of(Some("bd07f7e963c5")).unwrap();
        assert!(!oldest.experiment_times() && !oldest.aliases() && !oldest.inputs() && !oldest.logged_models() && !oldest.workspaces());
        let two = Schema::of(Some("0584bdc529eb")).unwrap();
        assert!(two.experiment_times() && two.aliases() && two.inputs() && !two.logged_models());
        let newest = Schema::of(Some("dc11669786a5")).unwrap();
        assert!(newest.inputs() && newest.logged_models() && newest.workspaces());
        assert!(Schema::of(None).unwrap_err().contains("mlflow db upgrade"));
        assert!(Schema::of(Some("451aebb31d03")).unwrap_err().contains("mlflow db upgrade"));
    }
}
