/** From argv to a command. */
#ifndef SL_CMD_START_H
#define SL_CMD_START_H

/** Runs the command line and gives the exit status. Thread: main. */
int sl_cmd_main(int argc, char **argv);

#endif
