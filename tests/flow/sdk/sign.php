<?php
// Signs API requests as the protocol's description tells, and shares nothing with the server or
// with the other tests.
//
//   php sign.php    a JSON list of {secret, method, path, params} on standard input; the list
//                   of {text, signature} on standard output
//
// A parameter whose value is a list is signed with its items joined by commas.

$requests = json_decode(stream_get_contents(STDIN), true, 64, JSON_THROW_ON_ERROR);
$answers = [];
foreach ($requests as $request) {
    $pairs = [];
    foreach ($request['params'] as $name => $value) {
        $name = strtolower($name);
        if ($name === 'auth_signature') {
            continue;
        }
        $pairs[$name] = is_array($value) ? implode(',', $value) : (string) $value;
    }
    ksort($pairs, SORT_STRING);
    $query = [];
    foreach ($pairs as $name => $value) {
        $query[] = "$name=$value";
    }
    $text = strtoupper($request['method']) . "\n" . $request['path'] . "\n" . implode('&', $query);
    $answers[] = ['text' => $text, 'signature' => hash_hmac('sha256', $text, $request['secret'])];
}
echo json_encode($answers, JSON_THROW_ON_ERROR);
