//! Users of the box. There is always an administrator left who can log in.
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use warp::reply::Response;

use super::session::{UserView, end_sessions, new_user, role_of};
use crate::base::secret::Secret;
use crate::store::UserRow;
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::passwords::{acceptable, acceptable_username};
use crate::web::reply;
use crate::web::request::Req;
use crate::web::tokens::Role;

#[derive(Serialize, ToSchema)]
pub struct UserList {
    pub users: Vec<UserView>,
}

#[derive(Deserialize, ToSchema)]
pub struct CreateUser {
    pub username: String,
    #[schema(value_type = String)]
    pub password: Secret,
    pub role: Role,
}

#[derive(Deserialize, ToSchema)]
pub struct UpdateUser {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    /// A new password; the user's sessions end.
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
}

/// All users.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin", responses((status = 200, body = UserList)))]
pub async fn list(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let rows = app.store().users().await?;
    let users = rows.iter().map(UserView::of).collect::<ApiResult<_>>()?;
    reply::json(&UserList { users })
}

/// Adds a user.
#[utoipa::path(post, path = "/api/admin/users", tag = "admin", request_body = CreateUser,
    responses((status = 201, body = UserView), (status = 409, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: CreateUser = req.json()?;
    acceptable_username(&asked.username)?;
    acceptable(&asked.password, &asked.username)?;
    let reads = app.store().stream_login(&asked.username).await?.is_some();
    if reads || app.store().user_by_name(&asked.username).await?.is_some() {
        return Err(taken(&asked.username));
    }
    let password_hash = app.passwords.hash(asked.password).await?;
    let row = new_user(asked.username.clone(), password_hash, asked.role);
    app.store().create_user(row.clone()).await?;
    let target = format!("{} as {}", asked.username, asked.role);
    app.audit(&req, "user.create", &target, Outcome::Done).await?;
    reply::json_status(StatusCode::CREATED, &UserView::of(&row)?)
}

/// Changes role, state or password of a user.
#[utoipa::path(put, path = "/api/admin/users/{id}", tag = "admin", request_body = UpdateUser,
    params(("id" = Uuid, Path, description = "User")),
    responses((status = 200, body = UserView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn update(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: UpdateUser = req.json()?;
    let user = find(&app, &req).await?;
    let role = asked.role.unwrap_or(role_of(&user)?);
    let disabled = asked.disabled.unwrap_or(user.disabled);
    if disabled || role != Role::Administrator {
        keep_an_administrator(&app, &user).await?;
    }
    let mut changed = Vec::new();
    if role != role_of(&user)? {
        changed.push(format!("role {role}"));
    }
    if disabled != user.disabled {
        changed.push(format!("disabled {disabled}"));
    }
    if !changed.is_empty() {
        app.store().set_user_role(user.id, role.as_str()).await?;
        app.store().set_user_disabled(user.id, disabled).await?;
    }
    if let Some(password) = asked.password {
        acceptable(&password, &user.name)?;
        let hash = app.passwords.hash(password).await?;
        app.store().set_password_hash(user.id, &hash).await?;
        changed.push("password".into());
    }
    if !changed.is_empty() {
        end_sessions(&app, user.id).await?;
        let target = format!("{}: {}", user.name, changed.join(", "));
        app.audit(&req, "user.change", &target, Outcome::Done).await?;
    }
    reply::json(&UserView::of(&find(&app, &req).await?)?)
}

/// Removes a user; the audit log keeps the name.
#[utoipa::path(delete, path = "/api/admin/users/{id}", tag = "admin",
    params(("id" = Uuid, Path, description = "User")),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let user = find(&app, &req).await?;
    keep_an_administrator(&app, &user).await?;
    end_sessions(&app, user.id).await?;
    app.store().delete_user(user.id).await?;
    app.audit(&req, "user.remove", &user.name, Outcome::Done).await?;
    Ok(reply::no_content())
}

async fn find(app: &App, req: &Req) -> ApiResult<UserRow> {
    let missing = || ApiError::not_found("This user");
    let id = req.param("id").parse().map_err(|_| missing())?;
    app.store().user(id).await?.ok_or_else(missing)
}

async fn keep_an_administrator(app: &App, without: &UserRow) -> ApiResult<()> {
    let users = app.store().users().await?;
    let other =
        users.iter().any(|user| user.id != without.id && !user.disabled && user.role == Role::Administrator.as_str());
    if other {
        return Ok(());
    }
    Err(ApiError::conflict(
        "This is the last administrator who can log in.",
        "Make another user an administrator first.",
    ))
}

fn taken(username: &str) -> ApiError {
    ApiError::conflict(format!("There is already a user `{username}`."), "Choose another name.").with_field("username")
}
