//! The messages of `etcdserverpb.Auth`, with the `authpb` types inside them.
//!
//! Passwords travel in clear inside TLS and are hashed before anything is replicated: of `password` and `hashed_password`
//! only the second ever reaches the log.

use bytes::Bytes;
use kernel::types::ResponseHeader;

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PermissionType {
    /// Reading.
    Read = 0,
    /// Writing.
    Write = 1,
    /// Both.
    Readwrite = 2,
}

/// A permission over keys.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Permission {
    /// What it allows.
    #[prost(enumeration = "PermissionType", tag = "1")]
    pub perm_type: i32,
    /// The key, or the first of a range.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// As in a range request.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// How a user is made.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct UserAddOptions {
    /// The user can log in by certificate only.
    #[prost(bool, tag = "1")]
    pub no_password: bool,
}

/// Turns authentication on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthEnableRequest {}

/// Answer to turning it on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthEnableResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Turns authentication off.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthDisableRequest {}

/// Answer to turning it off.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthDisableResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks whether authentication is on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthStatusRequest {}

/// Whether it is on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthStatusResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether it is.
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    /// Counts every change of users, roles and permissions.
    #[prost(uint64, tag = "3")]
    pub auth_revision: u64,
}

/// Logs in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// Answer to a login.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthenticateResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What later calls carry.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// Makes a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserAddRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub password: String,
    /// Options.
    #[prost(message, optional, tag = "3")]
    pub options: Option<UserAddOptions>,
    /// The bcrypt hash, filled in by the server.
    #[prost(string, tag = "4")]
    pub hashed_password: String,
}

/// Answer to a new user.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserAddResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for the roles of a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserGetRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// The roles of a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserGetResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Their names, sorted.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
}

/// Asks for all users.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserListRequest {}

/// All users.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserListResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Their names, sorted.
    #[prost(string, repeated, tag = "2")]
    pub users: Vec<String>,
}

/// Deletes a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserDeleteRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Answer to a deleted user.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserDeleteResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Changes a password.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserChangePasswordRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The new password.
    #[prost(string, tag = "2")]
    pub password: String,
    /// Its bcrypt hash, filled in by the server.
    #[prost(string, tag = "3")]
    pub hashed_password: String,
}

/// Answer to a changed password.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserChangePasswordResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Gives a role to a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserGrantRoleRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The role.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// Answer to a granted role.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserGrantRoleResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Takes a role from a user.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthUserRevokeRoleRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The role.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// Answer to a revoked role.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthUserRevokeRoleResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Makes a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleAddRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Answer to a new role.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthRoleAddResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for the permissions of a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleGetRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub role: String,
}

/// The permissions of a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleGetResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Them.
    #[prost(message, repeated, tag = "2")]
    pub perm: Vec<Permission>,
}

/// Asks for all roles.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthRoleListRequest {}

/// All roles.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleListResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Their names, sorted.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
}

/// Deletes a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleDeleteRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub role: String,
}

/// Answer to a deleted role.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthRoleDeleteResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Adds a permission to a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleGrantPermissionRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The permission.
    #[prost(message, optional, tag = "2")]
    pub perm: Option<Permission>,
}

/// Answer to an added permission.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthRoleGrantPermissionResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Takes a permission from a role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuthRoleRevokePermissionRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub role: String,
    /// The key of the permission.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// The range end of the permission.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// Answer to a revoked permission.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct AuthRoleRevokePermissionResponse {
    /// Header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
