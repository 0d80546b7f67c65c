//! What an import's rows in the ledger say was done: the operations of the contract that would have done the same.

pub const CREATE_EXPERIMENT: &str = "stagegate.v1.TrackingService/CreateExperiment";
pub const CREATE_RUN: &str = "stagegate.v1.TrackingService/CreateRun";
pub const UPDATE_RUN: &str = "stagegate.v1.TrackingService/UpdateRun";
pub const DELETE_RUN: &str = "stagegate.v1.TrackingService/DeleteRun";
pub const CREATE_LOGGED_MODEL: &str = "stagegate.v1.TrackingService/CreateLoggedModel";
pub const FINALIZE_LOGGED_MODEL: &str = "stagegate.v1.TrackingService/FinalizeLoggedModel";
pub const UPLOAD_ARTIFACT: &str = "stagegate.v1.ArtifactService/UploadArtifact";
pub const CREATE_REGISTERED_MODEL: &str = "stagegate.v1.RegistryService/CreateRegisteredModel";
pub const UPDATE_REGISTERED_MODEL: &str = "stagegate.v1.RegistryService/UpdateRegisteredModel";
pub const CREATE_MODEL_VERSION: &str = "stagegate.v1.RegistryService/CreateModelVersion";
pub const TRANSITION_STAGE: &str = "stagegate.v1.RegistryService/TransitionModelVersionStage";
pub const SET_ALIAS: &str = "stagegate.v1.RegistryService/SetRegisteredModelAlias";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::operation_by_path;

    #[test]
    fn the_contract_has_each_of_them() {
        for action in [
            CREATE_EXPERIMENT,
            CREATE_RUN,
            UPDATE_RUN,
            DELETE_RUN,
            CREATE_LOGGED_MODEL,
            FINALIZE_LOGGED_MODEL,
            UPLOAD_ARTIFACT,
            CREATE_REGISTERED_MODEL,
            UPDATE_REGISTERED_MODEL,
            CREATE_MODEL_VERSION,
            TRANSITION_STAGE,
            SET_ALIAS,
        ] {
            assert!(operation_by_path(&format!("/{action}")).is_some_and(|operation| operation.full_name == action), "{action}");
        }
    }
}
