//! First administrator, login, refresh, logout, own password.
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use crate::base::secret::Secret;
use crate::base::time::UtcMicros;
use crate::store::{Rotation, SessionRow, UserRow};
use crate::web::app::{App, Outcome};
use crate::web::dispatch::ACCESS_COOKIE;
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::passwords::{acceptable, acceptable_username};
use crate::web::reply;
use crate::web::request::Req;
use crate::web::setup;
use crate::web::tokens::{Identity, Role, random_token, token_hash};

const REFRESH_COOKIE: &str = "gtv_refresh";
/// Two tabs that renew at the same moment are not a thief.
const RACE_GRACE_US: i64 = 10_000_000;

#[derive(Serialize, ToSchema)]
pub struct SetupState {
    /// True until the first administrator exists.
    pub needed: bool,
}

#[derive(Deserialize, ToSchema)]
pub struct SetupRequest {
    /// The one-time code that the box shows on its console.
    pub code: String,
    pub username: String,
    #[schema(value_type = String)]
    pub password: Secret,
}

#[derive(Deserialize, ToSchema)]
pub struct LoginRequest {
    pub username: String,
    #[schema(value_type = String)]
    pub password: Secret,
}

#[derive(Deserialize, ToSchema)]
pub struct PasswordRequest {
    #[schema(value_type = String)]
    pub current: Secret,
    #[schema(value_type = String)]
    pub password: Secret,
}

#[derive(Serialize, ToSchema)]
pub struct Session {
    pub user: UserView,
    /// For `Authorization: Bearer`; the same token is set as a cookie.
    pub access_token: String,
    pub expires_in_seconds: u64,
}

#[derive(Serialize, ToSchema)]
pub struct UserView {
    pub id: Uuid,
    pub username: String,
    pub role: Role,
    pub disabled: bool,
    /// Microseconds UTC.
    pub created_at: i64,
}

impl UserView {
    pub fn of(row: &UserRow) -> ApiResult<Self> {
        Ok(Self {
            id: row.id,
            username: row.name.clone(),
            role: role_of(row)?,
            disabled: row.disabled,
            created_at: row.created_at.0,
        })
    }
}

pub fn new_user(name: String, password_hash: String, role: Role) -> UserRow {
    let role = role.as_str().to_owned();
    UserRow { id: Uuid::now_v7(), name, password_hash, role, created_at: UtcMicros::now(), disabled: false }
}

pub fn role_of(row: &UserRow) -> ApiResult<Role> {
    row.role.parse().map_err(|()| ApiError::internal("reading a user's role", &row.role))
}

/// Whether the box still waits for its first administrator.
#[utoipa::path(get, path = "/api/admin/setup", tag = "admin",
    responses((status = 200, body = SetupState)))]
pub async fn setup_state(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    reply::json(&SetupState { needed: app.store().users().await?.is_empty() })
}

/// Makes the first administrator with the code from the console, and logs in.
#[utoipa::path(post, path = "/api/admin/setup", tag = "admin", request_body = SetupRequest,
    responses((status = 201, body = Session), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn setup(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: SetupRequest = req.json()?;
    if !app.store().users().await?.is_empty() {
        return Err(ApiError::conflict("This box already has an administrator.", "Log in instead."));
    }
    check_lock(&app, setup::LOCK_NAME)?;
    let given = setup::code_hash(&asked.code);
    if app.store().setup_code_hash().await?.as_deref() != Some(given.as_str()) {
        lock(&app).failed(setup::LOCK_NAME, Instant::now());
        app.audit_as(&req, "", "setup", "box", Outcome::Refused).await?;
        let mut error = ApiError::forbidden("This is not the setup code of the box.").with_field("code");
        error.remedy = "Type the code that gtv-edge printed on its console at this start.".into();
        return Err(error);
    }
    acceptable_username(&asked.username)?;
    acceptable(&asked.password, &asked.username)?;
    let password_hash = app.passwords.hash(asked.password).await?;
    let user = new_user(asked.username, password_hash, Role::Administrator);
    // The store refuses when somebody else was faster.
    app.store().create_first_user(user.clone()).await?;
    app.audit_as(&req, &user.name, "setup", "box", Outcome::Done).await?;
    start_session(&app, &req, &user, StatusCode::CREATED).await
}

/// Logs in with name and password.
#[utoipa::path(post, path = "/api/admin/login", tag = "admin", request_body = LoginRequest,
    responses((status = 200, body = Session), (status = 401, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn login(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: LoginRequest = req.json()?;
    let name = login_name(&asked.username);
    let Some(user) = check_password(&app, &name, asked.password).await? else {
        app.audit_as(&req, &name, "login", "session", Outcome::Refused).await?;
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "User name or password is wrong.",
            "Check both; an administrator of this box can set a new password.",
        ));
    };
    app.audit_as(&req, &user.name, "login", "session", Outcome::Done).await?;
    start_session(&app, &req, &user, StatusCode::OK).await
}

/// How a name is looked for, whoever typed it.
pub fn login_name(given: &str) -> String {
    given.trim().to_lowercase().chars().take(64).collect()
}

/// The user with this name and password, if there is one; wrong attempts lock the name for a while.
pub async fn check_password(app: &App, name: &str, password: Secret) -> ApiResult<Option<UserRow>> {
    check_lock(app, name)?;
    let user = app.store().user_by_name(name).await?;
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    let matches = app.passwords.verify(password, stored).await?;
    let user = user.filter(|user| matches && !user.disabled);
    count_attempt(app, name, user.is_some());
    Ok(user)
}

/// Wrong attempts lock a name for a while.
pub fn count_attempt(app: &App, name: &str, right: bool) {
    metrics::counter!("gtv_logins_total", "outcome" => if right { "done" } else { "refused" }).increment(1);
    if right {
        lock(app).succeeded(name);
    } else {
        lock(app).failed(name, Instant::now());
    }
}

/// Gives a new access token for the refresh cookie, which is replaced too.
#[utoipa::path(post, path = "/api/admin/refresh", tag = "admin",
    responses((status = 200, body = Session), (status = 401, body = ErrorBody)))]
pub async fn refresh(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let Some(token) = req.cookie(REFRESH_COOKIE) else {
        return Err(ApiError::unauthorised());
    };
    let now = UtcMicros::now();
    let fresh = random_token();
    // Family and user are taken from the token that is replaced.
    let next = session_row(&app, &req, &fresh, Uuid::nil(), Uuid::nil(), now);
    let family = app.store().session(&token_hash(token)).await?.map(|old| old.family);
    match (app.store().rotate_session(&token_hash(token), next, now, RACE_GRACE_US).await?, family) {
        (Rotation::Rotated(user), Some(family)) => answer_session(&app, &user, family, &fresh, StatusCode::OK),
        // A token that was already replaced comes back: somebody has a copy. Nobody keeps the session.
        (Rotation::Reused { user_id }, _) => {
            app.tokens.revoke_user(user_id, now);
            app.audit_as(&req, "", "session.reused", &user_id.to_string(), Outcome::Refused).await?;
            Ok(cleared(reply::error(&ApiError::unauthorised())))
        }
        (Rotation::Rotated(_) | Rotation::Refused, _) => Ok(cleared(reply::error(&ApiError::unauthorised()))),
    }
}

/// Ends the session on the box and in the browser.
#[utoipa::path(post, path = "/api/admin/logout", tag = "admin", responses((status = 204)))]
pub async fn logout(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let family = match (&req.who, req.cookie(REFRESH_COOKIE)) {
        (Some(who), _) => Some(who.session),
        (None, Some(token)) => app.store().session(&token_hash(token)).await?.map(|session| session.family),
        (None, None) => None,
    };
    if let Some(family) = family {
        app.tokens.revoke_session(family, UtcMicros::now());
        app.store().end_session_family(family).await?;
        app.audit(&req, "logout", "session", Outcome::Done).await?;
    }
    Ok(cleared(reply::no_content()))
}

/// Who is logged in.
#[utoipa::path(get, path = "/api/admin/me", tag = "admin",
    responses((status = 200, body = UserView), (status = 401, body = ErrorBody)))]
pub async fn me(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let user = app.store().user(req.who()?.user_id).await?.ok_or_else(ApiError::unauthorised)?;
    reply::json(&UserView::of(&user)?)
}

/// Changes one's own password; all other sessions of the user end.
#[utoipa::path(put, path = "/api/admin/me/password", tag = "admin", request_body = PasswordRequest,
    responses((status = 200, body = Session), (status = 401, body = ErrorBody)))]
pub async fn change_password(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let asked: PasswordRequest = req.json()?;
    let user = app.store().user(req.who()?.user_id).await?.ok_or_else(ApiError::unauthorised)?;
    check_lock(&app, &user.name)?;
    if !app.passwords.verify(asked.current, Some(user.password_hash.clone())).await? {
        lock(&app).failed(&user.name, Instant::now());
        app.audit(&req, "password.change", &user.name, Outcome::Refused).await?;
        return Err(ApiError::invalid("current", "The current password is wrong."));
    }
    acceptable(&asked.password, &user.name)?;
    let hash = app.passwords.hash(asked.password).await?;
    app.store().set_password_hash(user.id, &hash).await?;
    end_sessions(&app, user.id).await?;
    app.audit(&req, "password.change", &user.name, Outcome::Done).await?;
    start_session(&app, &req, &user, StatusCode::OK).await
}

/// Ends every session of a user, here and in the store.
pub async fn end_sessions(app: &App, user_id: Uuid) -> ApiResult<()> {
    app.tokens.revoke_user(user_id, UtcMicros::now());
    app.store().end_sessions(user_id).await?;
    Ok(())
}

fn lock(app: &App) -> std::sync::MutexGuard<'_, crate::web::limit::Lockout> {
    app.lockout.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn check_lock(app: &App, name: &str) -> ApiResult<()> {
    match lock(app).locked_for(name, Instant::now()) {
        Some(left) => Err(ApiError::too_many("Too many wrong attempts.", left.as_secs().max(1))),
        None => Ok(()),
    }
}

async fn start_session(app: &App, req: &Req, user: &UserRow, status: StatusCode) -> ApiResult<Response> {
    let (family, token) = (Uuid::now_v7(), random_token());
    let row = session_row(app, req, &token, family, user.id, UtcMicros::now());
    app.store().create_session(row).await?;
    answer_session(app, user, family, &token, status)
}

fn session_row(app: &App, req: &Req, token: &str, family: Uuid, user_id: Uuid, now: UtcMicros) -> SessionRow {
    let browser: String = req.header(http::header::USER_AGENT).unwrap_or_default().chars().take(200).collect();
    SessionRow {
        token_hash: token_hash(token),
        family,
        user_id,
        created_at: now,
        expires_at: expiry(app, now),
        spent_at: None,
        client: format!("{} {browser}", req.peer),
    }
}

fn expiry(app: &App, now: UtcMicros) -> UtcMicros {
    now.add_micros(app.config().web.refresh_lifetime.micros())
}

fn answer_session(app: &App, user: &UserRow, session: Uuid, refresh: &str, status: StatusCode) -> ApiResult<Response> {
    let who = Identity { user_id: user.id, username: user.name.clone(), role: role_of(user)?, session };
    let access_token = app
        .tokens
        .issue(&who, UtcMicros::now())
        .map_err(|error| ApiError::internal("signing an access token", error))?;
    let life = app.tokens.lifetime.as_secs();
    let body = Session { user: UserView::of(user)?, access_token: access_token.clone(), expires_in_seconds: life };
    let mut response = reply::json_status(status, &body)?;
    reply::add_cookie(&mut response, &cookie(ACCESS_COOKIE, &access_token, "/", life));
    let refresh_life = app.config().web.refresh_lifetime.as_secs();
    reply::add_cookie(&mut response, &cookie(REFRESH_COOKIE, refresh, "/api/admin", refresh_life));
    Ok(response)
}

/// The box itself speaks plain HTTP on the local network, so the cookies cannot ask for `Secure`.
fn cookie(name: &str, value: &str, path: &str, life_seconds: u64) -> String {
    format!("{name}={value}; Path={path}; Max-Age={life_seconds}; HttpOnly; SameSite=Strict")
}

fn cleared(mut response: Response) -> Response {
    reply::add_cookie(&mut response, &cookie(ACCESS_COOKIE, "", "/", 0));
    reply::add_cookie(&mut response, &cookie(REFRESH_COOKIE, "", "/api/admin", 0));
    response
}
