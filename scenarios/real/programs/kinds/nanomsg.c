/* nanomsg: its worker is lost, and the child waits in poll() for a message: nanomsg FOLDER. */
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>

#include "kinds.h"

static int receiver;

static void receive(void) {
  char text[8];
  nn_recv(receiver, text, sizeof text, 0);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  char url[256];
  snprintf(url, sizeof url, "ipc://%s/socket", argv[1]);
  prepare();
  receiver = nn_socket(AF_SP, NN_PAIR);
  int sender = nn_socket(AF_SP, NN_PAIR);
  if (nn_bind(receiver, url) < 0 || nn_connect(sender, url) < 0) abort();
  nn_send(sender, "one", 3, 0);
  receive();
  return fork_and(receive);
}
