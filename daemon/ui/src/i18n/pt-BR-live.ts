// Portuguese texts of sound, RTSP out and RTSP push.
import type { enLive } from './en-live';

export const ptBRLive: Record<keyof typeof enLive, string> = {
  'live.sound': 'Som',
  'live.client': 'O cliente RTSP que lê este fluxo',
  'live.hour': '{share} desta hora gravados',
  'push.title': 'Envio por RTSP',
  'push.url': 'Endereço do servidor',
  'push.hint': 'A caixa envia o fluxo para lá. Vazio: para nenhum lugar.',
  'push.connecting': 'Conectando…',
  'push.sending': 'Enviando',
  'push.waiting': 'Aguardando a câmera',
  'push.failed': 'Falhou, tentando de novo',
  'streams.title': 'Leitores RTSP',
  'streams.add': 'Adicionar leitor',
  'streams.remove': 'Remover o leitor {name}? Quem lê com ele é desconectado.',
  'streams.name': 'Nome do leitor',
  'streams.hint': 'Um nome para cada sistema que lê. A caixa cria a senha.',
  'streams.all': 'Todas as câmeras',
  'streams.off': 'A caixa não serve RTSP agora: defina live.rtsp_listen em config.toml.',
  'streams.address': 'Outros sistemas leem aqui, com um destes nomes:',
  'streams.once': 'Senha de {name}, mostrada só agora:',
};
