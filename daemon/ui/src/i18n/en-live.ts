// English texts of sound, RTSP out and RTSP push.
export const enLive = {
  'streams.title': 'RTSP readers',
  'streams.add': 'Add reader',
  'streams.remove': 'Remove the reader {name}? Whatever reads with it is cut off.',
  'streams.name': 'Name of the reader',
  'streams.hint': 'A name for each system that reads. The box makes its password.',
  'streams.all': 'All cameras',
  'streams.off': 'The box serves no RTSP now: set live.rtsp_listen in config.toml.',
  'streams.address': 'Other systems read here, with one of these names:',
  'streams.once': 'Password of {name}, shown only now:',
};
