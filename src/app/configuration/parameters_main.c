/* sluice_parameters FORM: prints the parameter table (text, markdown, man). The build
 * writes docs/configuration.md with it, and a test compares. */
#include "sluice/config.h"

#include <stdio.h>

int main(int count, char **arguments) {
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_config_print_parameters(count > 1 ? arguments[1] : "text", &out);
    bool good = !out.failed && fwrite(out.bytes, 1, out.length, stdout) == out.length;
    sl_buffer_fini(&out);
    return good && fflush(stdout) == 0 ? 0 : 1;
}
