/* Entry point: finds the command in the table, parses its options, runs it. Thread: main. */
#include "core/base/base.h"

#include "cmd/cmd.h"
#include "cmd/start.h"

int main(int argc, char **argv)
{
    return sl_cmd_main(argc, argv);
}
