<?php
// Symfony's notifier with its Twilio bridge: php notify.php DSN CA-FILE TO TEXT; prints the message's SID or the refusal.
require 'Symfony/Component/HttpClient/autoload.php';
require 'Symfony/Component/Notifier/Bridge/Twilio/autoload.php';

use Symfony\Component\HttpClient\HttpClient;
use Symfony\Component\Notifier\Bridge\Twilio\TwilioTransportFactory;
use Symfony\Component\Notifier\Exception\TransportException;
use Symfony\Component\Notifier\Message\SmsMessage;
use Symfony\Component\Notifier\Transport\Dsn;

[, $dsn, $authority, $to, $text] = $argv;
$factory = new TwilioTransportFactory(null, HttpClient::create(['cafile' => $authority, 'timeout' => 20]));
try {
    $sent = $factory->create(new Dsn($dsn))->send(new SmsMessage($to, $text));
    echo json_encode(['sid' => $sent->getMessageId(), 'transport' => $sent->getTransport()]), "\n";
} catch (TransportException $refused) {
    echo json_encode(['refused' => $refused->getMessage()]), "\n";
}
