"""ONVIF Device, Media and Media2 services of one camera: what each operation answers."""

from datetime import UTC, datetime

from .soap import NAMESPACES, Fault, Request, envelope, escape, quoteattr

MANUFACTURER = "GT-Vision"
MODEL = "Demo Street Camera"
FIRMWARE = "1.0.0"
#: Operations that ONVIF allows before authentication (Core specification, PRE_AUTH).
PUBLIC = {"GetSystemDateAndTime", "GetHostname", "GetServices", "GetServiceCapabilities", "GetCapabilities"}
_PATHS = {"tds": "device_service", "trt": "media_service", "tr2": "media2_service"}
_PREFIX = {uri: prefix for prefix, uri in NAMESPACES.items()}
_VERSIONS = {"tds": (23, 6), "trt": (23, 6), "tr2": (23, 6)}


class OnvifService:
    """Stateless but for its camera; `host` is the address by which the client reached the camera."""

    def __init__(self, camera) -> None:
        self._camera = camera

    def answer(self, request: Request, host: str) -> bytes:
        prefix = _PREFIX.get(request.namespace, "")
        handler = getattr(self, f"_{prefix}_{request.operation}", None) if prefix in _PATHS else None
        if handler is None:
            reason = f"{request.operation} of {request.namespace or 'no namespace'} is not supported"
            raise Fault(500, "Receiver", ["ActionNotSupported"], reason)
        body = handler(request, host)
        return envelope(f"<{prefix}:{request.operation}Response>{body}</{prefix}:{request.operation}Response>")

    # Device ---------------------------------------------------------------------------------------

    def _tds_GetSystemDateAndTime(self, _request: Request, _host: str) -> str:
        now = datetime.fromtimestamp(self._camera.camera_time(), UTC)
        stamp = (
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
            f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
            f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
        )
        return (
            "<tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>UTC0</tt:TZ></tt:TimeZone>"
            f"<tt:UTCDateTime>{stamp}</tt:UTCDateTime><tt:LocalDateTime>{stamp}</tt:LocalDateTime>"
            "</tds:SystemDateAndTime>"
        )

    def _tds_GetCapabilities(self, _request: Request, host: str) -> str:
        return (
            "<tds:Capabilities><tt:Device>"
            f"<tt:XAddr>{self._url(host, 'tds')}</tt:XAddr>"
            "<tt:Network><tt:IPFilter>false</tt:IPFilter><tt:ZeroConfiguration>false</tt:ZeroConfiguration>"
            "<tt:IPVersion6>false</tt:IPVersion6><tt:DynDNS>false</tt:DynDNS></tt:Network>"
            "<tt:System><tt:DiscoveryResolve>true</tt:DiscoveryResolve><tt:DiscoveryBye>true</tt:DiscoveryBye>"
            "<tt:RemoteDiscovery>false</tt:RemoteDiscovery><tt:SystemBackup>false</tt:SystemBackup>"
            "<tt:SystemLogging>false</tt:SystemLogging><tt:FirmwareUpgrade>false</tt:FirmwareUpgrade>"
            "<tt:SupportedVersions><tt:Major>23</tt:Major><tt:Minor>6</tt:Minor></tt:SupportedVersions></tt:System>"
            "</tt:Device><tt:Media>"
            f"<tt:XAddr>{self._url(host, 'trt')}</tt:XAddr><tt:StreamingCapabilities>"
            "<tt:RTPMulticast>false</tt:RTPMulticast><tt:RTP_TCP>true</tt:RTP_TCP>"
            "<tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP></tt:StreamingCapabilities></tt:Media></tds:Capabilities>"
        )

    def _tds_GetServices(self, _request: Request, host: str) -> str:
        return "".join(
            f"<tds:Service><tds:Namespace>{NAMESPACES[prefix]}</tds:Namespace>"
            f"<tds:XAddr>{self._url(host, prefix)}</tds:XAddr><tds:Version><tt:Major>{major}</tt:Major>"
            f"<tt:Minor>{minor}</tt:Minor></tds:Version></tds:Service>"
            for prefix, (major, minor) in _VERSIONS.items()
        )

    def _tds_GetServiceCapabilities(self, _request: Request, _host: str) -> str:
        return (
            "<tds:Capabilities><tds:Network/>"
            '<tds:Security HttpDigest="true" UsernameToken="true" MaxUsers="1"/>'
            '<tds:System DiscoveryResolve="true" DiscoveryBye="true"/></tds:Capabilities>'
        )

    def _tds_GetDeviceInformation(self, _request: Request, _host: str) -> str:
        return (
            f"<tds:Manufacturer>{MANUFACTURER}</tds:Manufacturer><tds:Model>{MODEL}</tds:Model>"
            f"<tds:FirmwareVersion>{FIRMWARE}</tds:FirmwareVersion>"
            f"<tds:SerialNumber>{self._camera.serial}</tds:SerialNumber><tds:HardwareId>demo</tds:HardwareId>"
        )

    def _tds_GetScopes(self, _request: Request, _host: str) -> str:
        return "".join(
            f"<tds:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>{escape(scope)}</tt:ScopeItem></tds:Scopes>"
            for scope in self._camera.scopes
        )

    def _tds_GetHostname(self, _request: Request, _host: str) -> str:
        return (
            "<tds:HostnameInformation><tt:FromDHCP>false</tt:FromDHCP>"
            f"<tt:Name>{escape(self._camera.name)}</tt:Name></tds:HostnameInformation>"
        )

    def _tds_GetNetworkInterfaces(self, _request: Request, host: str) -> str:
        return (
            '<tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled><tt:Info><tt:Name>eth0</tt:Name>'
            f"<tt:HwAddress>{self._camera.mac}</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info><tt:IPv4>"
            f"<tt:Enabled>true</tt:Enabled><tt:Config><tt:Manual><tt:Address>{escape(host)}</tt:Address>"
            "<tt:PrefixLength>24</tt:PrefixLength></tt:Manual><tt:DHCP>false</tt:DHCP></tt:Config></tt:IPv4>"
            "</tds:NetworkInterfaces>"
        )

    # Media (ver10) --------------------------------------------------------------------------------

    def _trt_GetServiceCapabilities(self, _request: Request, _host: str) -> str:
        return (
            '<trt:Capabilities SnapshotUri="true"><trt:ProfileCapabilities MaximumNumberOfProfiles="2"/>'
            '<trt:StreamingCapabilities RTPMulticast="false" RTP_TCP="true" RTP_RTSP_TCP="true"/></trt:Capabilities>'
        )

    def _trt_GetProfiles(self, _request: Request, _host: str) -> str:
        return "".join(self._profile("Profiles", profile) for profile in self._camera.profiles)

    def _trt_GetProfile(self, request: Request, _host: str) -> str:
        return self._profile("Profile", self._chosen(request))

    def _trt_GetVideoSources(self, _request: Request, _host: str) -> str:
        main = self._camera.profiles[0]
        return (
            f'<trt:VideoSources token="source"><tt:Framerate>{main.fps}</tt:Framerate><tt:Resolution>'
            f"<tt:Width>{main.width}</tt:Width><tt:Height>{main.height}</tt:Height></tt:Resolution></trt:VideoSources>"
        )

    def _trt_GetStreamUri(self, request: Request, host: str) -> str:
        uri = self._camera.rtsp_url(self._chosen(request).stream, host)
        return self._media_uri(uri)

    def _trt_GetSnapshotUri(self, request: Request, host: str) -> str:
        self._chosen(request)
        return self._media_uri(self._camera.snapshot_url(host))

    @staticmethod
    def _media_uri(uri: str) -> str:
        return (
            f"<trt:MediaUri><tt:Uri>{escape(uri)}</tt:Uri><tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>"
            "<tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT0S</tt:Timeout></trt:MediaUri>"
        )

    def _profile(self, tag: str, p) -> str:
        body = f"<tt:Name>{escape(p.name)}</tt:Name>" + self._source_configuration("tt:VideoSourceConfiguration")
        if p.has_audio:
            body += (
                '<tt:AudioSourceConfiguration token="audio-source-config"><tt:Name>microphone</tt:Name>'
                "<tt:UseCount>2</tt:UseCount><tt:SourceToken>microphone</tt:SourceToken>"
                "</tt:AudioSourceConfiguration>"
            )
        # The ver10 schema knows no H.265: such a profile shows its encoder through Media2 only.
        if p.codec != "h265":
            encoding = "H264" if p.codec == "h264" else "JPEG"
            profile = (
                f"<tt:H264><tt:GovLength>{p.gop}</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>"
                if p.codec == "h264"
                else ""
            )
            body += (
                f'<tt:VideoEncoderConfiguration token="{p.stream}-encoder"><tt:Name>{p.stream}</tt:Name>'
                f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>"
                f"<tt:Width>{p.width}</tt:Width><tt:Height>{p.height}</tt:Height></tt:Resolution>"
                f"<tt:Quality>5</tt:Quality><tt:RateControl><tt:FrameRateLimit>{p.fps}</tt:FrameRateLimit>"
                f"<tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>{p.kbps}</tt:BitrateLimit>"
                f"</tt:RateControl>{profile}{self._multicast()}<tt:SessionTimeout>PT60S</tt:SessionTimeout>"
                "</tt:VideoEncoderConfiguration>"
            )
        if p.has_audio:
            body += self._audio_encoder(p)
        return f'<trt:{tag} token={quoteattr(p.token)} fixed="true">{body}</trt:{tag}>'

    def _source_configuration(self, tag: str) -> str:
        main = self._camera.profiles[0]
        return (
            f'<{tag} token="source-config"><tt:Name>street</tt:Name><tt:UseCount>2</tt:UseCount>'
            f'<tt:SourceToken>source</tt:SourceToken><tt:Bounds x="0" y="0" width="{main.width}" '
            f'height="{main.height}"/></{tag}>'
        )

    def _audio_encoder(self, p) -> str:
        encoding, rate, kbps = ("AAC", 16, 48) if p.audio == "aac" else ("G711", 8, 64)
        return (
            '<tt:AudioEncoderConfiguration token="audio-encoder"><tt:Name>audio</tt:Name><tt:UseCount>2</tt:UseCount>'
            f"<tt:Encoding>{encoding}</tt:Encoding><tt:Bitrate>{kbps}</tt:Bitrate>"
            f"<tt:SampleRate>{rate}</tt:SampleRate>{self._multicast()}<tt:SessionTimeout>PT60S</tt:SessionTimeout>"
            "</tt:AudioEncoderConfiguration>"
        )

    @staticmethod
    def _multicast() -> str:
        return (
            "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address></tt:Address>"
            "<tt:Port>0</tt:Port><tt:TTL>1</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
        )

    # Media2 (ver20) -------------------------------------------------------------------------------

    def _tr2_GetServiceCapabilities(self, _request: Request, _host: str) -> str:
        return (
            '<tr2:Capabilities SnapshotUri="true"><tr2:ProfileCapabilities MaximumNumberOfProfiles="2"/>'
            '<tr2:StreamingCapabilities RTSPStreaming="true" RTPMulticast="false" RTP_RTSP_TCP="true"/>'
            "</tr2:Capabilities>"
        )

    def _tr2_GetProfiles(self, request: Request, _host: str) -> str:
        wanted = request.text("Token")
        chosen = [p for p in self._camera.profiles if wanted in ("", p.token)]
        if not chosen:
            raise self._no_profile(wanted)
        return "".join(
            f'<tr2:Profiles token={quoteattr(p.token)} fixed="true"><tr2:Name>{escape(p.name)}</tr2:Name>'
            f"<tr2:Configurations>{self._source_configuration('tr2:VideoSource')}"
            f"{self._encoder2('tr2:VideoEncoder', p)}</tr2:Configurations></tr2:Profiles>"
            for p in chosen
        )

    def _tr2_GetVideoEncoderConfigurations(self, _request: Request, _host: str) -> str:
        return "".join(self._encoder2("tr2:Configurations", p) for p in self._camera.profiles)

    def _tr2_GetStreamUri(self, request: Request, host: str) -> str:
        return f"<tr2:Uri>{escape(self._camera.rtsp_url(self._chosen(request).stream, host))}</tr2:Uri>"

    def _tr2_GetSnapshotUri(self, request: Request, host: str) -> str:
        self._chosen(request)
        return f"<tr2:Uri>{escape(self._camera.snapshot_url(host))}</tr2:Uri>"

    def _encoder2(self, tag: str, p) -> str:
        encoding = {"h264": "H264", "h265": "H265", "mjpeg": "JPEG"}[p.codec]
        return (
            f'<{tag} token="{p.stream}-encoder" GovLength="{p.gop}" Profile="Main"><tt:Name>{p.stream}</tt:Name>'
            f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>"
            f"<tt:Width>{p.width}</tt:Width><tt:Height>{p.height}</tt:Height></tt:Resolution>"
            f'<tt:RateControl ConstantBitRate="true"><tt:FrameRateLimit>{p.fps}</tt:FrameRateLimit>'
            f"<tt:BitrateLimit>{p.kbps}</tt:BitrateLimit></tt:RateControl><tt:Quality>5</tt:Quality></{tag}>"
        )

    # Shared ---------------------------------------------------------------------------------------

    def _chosen(self, request: Request):
        wanted = request.text("ProfileToken")
        for profile in self._camera.profiles:
            if profile.token == wanted:
                return profile
        raise self._no_profile(wanted)

    @staticmethod
    def _no_profile(token: str) -> Fault:
        return Fault(400, "Sender", ["InvalidArgVal", "NoProfile"], f"there is no profile {token!r}")

    def _url(self, host: str, prefix: str) -> str:
        return f"http://{host}:{self._camera.onvif_port}/onvif/{_PATHS[prefix]}"
