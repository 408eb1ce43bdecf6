/* cmd_train.c - lizzie train: a model from text. */
#include "cli/cli.h"

#include "sys/files.h"

liz_status cli_train(cli_args *args, liz_buf *out, liz_error *err)
{
    cli_teller t;
    (void)out;
    args->train.out = args->positional[0];
    cli_training_begin(&t, args, args->train.out);
    return cli_training_end(liz_train(&args->train, liz_files_system(), cli_training_tell, &t, err), err);
}
