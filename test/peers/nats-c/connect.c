// nats-connect-c connects to a NATS server with a creds file, by the client for C, and ends. Usage: nats-connect-c URL CREDS
#include <nats/nats.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    natsStatus status;

    if (argc != 3)
    {
        fprintf(stderr, "usage: nats-connect-c URL CREDS\n");
        return 2;
    }
    status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, argv[1]);
    if (status == NATS_OK)
        status = natsOptions_SetUserCredentialsFromFiles(options, argv[2], NULL);
    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(options, false);
    if (status == NATS_OK)
        status = natsOptions_SetTimeout(options, 5000);
    if (status == NATS_OK)
        status = natsConnection_Connect(&connection, options);
    if (status != NATS_OK)
        fprintf(stderr, "%s\n", natsStatus_GetText(status));
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
    return status == NATS_OK ? 0 : 1;
}
