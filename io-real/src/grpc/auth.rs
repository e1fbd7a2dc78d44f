//! `etcdserverpb.Auth`: there is no authentication yet, and every call says so in etcd's words.

use super::status::from_error;
use super::stubs::auth_server::Auth;
use super::{Edge, not_offered};
use kernel::{Code, KvError};
use tonic::{Request, Response, Status};
use wire::*;

/// What etcd says to whoever logs in where nobody has to.
fn not_enabled() -> Status {
    from_error(KvError::new(Code::FailedPrecondition, "etcdserver: authentication is not enabled"))
}

/// Calls that manage users and roles, all refused.
macro_rules! refuse {
    ($($method:ident, $request:ident, $response:ident;)*) => {
        #[tonic::async_trait]
        impl Auth for Edge {
            async fn auth_status(&self, request: Request<AuthStatusRequest>) -> Result<Response<AuthStatusResponse>, Status> {
                self.admit(request)?;
                let header = Some(self.header_without_revision());
                Ok(Response::new(AuthStatusResponse { header, enabled: false, ..Default::default() }))
            }

            async fn authenticate(&self, _: Request<AuthenticateRequest>) -> Result<Response<AuthenticateResponse>, Status> {
                Err(not_enabled())
            }

            async fn auth_disable(&self, _: Request<AuthDisableRequest>) -> Result<Response<AuthDisableResponse>, Status> {
                Err(not_enabled())
            }

            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(not_offered("authentication"))
            })*
        }
    };
}

refuse! {
    auth_enable, AuthEnableRequest, AuthEnableResponse;
    user_add, AuthUserAddRequest, AuthUserAddResponse;
    user_get, AuthUserGetRequest, AuthUserGetResponse;
    user_list, AuthUserListRequest, AuthUserListResponse;
    user_delete, AuthUserDeleteRequest, AuthUserDeleteResponse;
    user_change_password, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse;
    user_grant_role, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse;
    user_revoke_role, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse;
    role_add, AuthRoleAddRequest, AuthRoleAddResponse;
    role_get, AuthRoleGetRequest, AuthRoleGetResponse;
    role_list, AuthRoleListRequest, AuthRoleListResponse;
    role_delete, AuthRoleDeleteRequest, AuthRoleDeleteResponse;
    role_grant_permission, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse;
    role_revoke_permission, AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse;
}
