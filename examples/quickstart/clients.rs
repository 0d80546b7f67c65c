//! Typed clients for one user.

use stagegate::contract::v1::access_service_client::AccessServiceClient;
use stagegate::contract::v1::artifact_service_client::ArtifactServiceClient;
use stagegate::contract::v1::ledger_service_client::LedgerServiceClient;
use stagegate::contract::v1::registry_service_client::RegistryServiceClient;
use stagegate::contract::v1::tracking_service_client::TrackingServiceClient;
use stagegate::contract::v1::{CreateTokenRequest, SignInRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::Result;

type Authorized = InterceptedService<Channel, Bearer>;

/// Adds `authorization: Bearer …` to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// One user's view of the server.
#[derive(Clone)]
pub struct Clients {
    pub tracking: TrackingServiceClient<Authorized>,
    pub registry: RegistryServiceClient<Authorized>,
    pub artifacts: ArtifactServiceClient<Authorized>,
    pub access: AccessServiceClient<Authorized>,
    pub ledger: LedgerServiceClient<Authorized>,
}

impl Clients {
    /// The clients of a token's user.
    pub fn with_token(channel: &Channel, token: &str) -> Result<Self> {
        let bearer = Bearer(format!("Bearer {token}").parse()?);
        let service = InterceptedService::new(channel.clone(), bearer);
        Ok(Self {
            tracking: TrackingServiceClient::new(service.clone()),
            registry: RegistryServiceClient::new(service.clone()),
            artifacts: ArtifactServiceClient::new(service.clone()),
            access: AccessServiceClient::new(service.clone()),
            ledger: LedgerServiceClient::new(service),
        })
    }

    /// Signs in with a password.
    pub async fn sign_in(channel: &Channel, user: &str, password: &str) -> Result<Self> {
        let request = SignInRequest { user_name: user.into(), password: password.into() };
        let answer = AccessServiceClient::new(channel.clone()).sign_in(request).await?.into_inner();
        Self::with_token(channel, &answer.token)
    }

    /// Makes a token for a service account and gives its clients and the token.
    pub async fn for_account(&mut self, channel: &Channel, account: &str) -> Result<(Self, String)> {
        let request = CreateTokenRequest { user_name: account.into(), ..CreateTokenRequest::default() };
        let token = self.access.create_token(request).await?.into_inner().token_text;
        Ok((Self::with_token(channel, &token)?, token))
    }
}
